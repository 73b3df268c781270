"""A voice made here: syllables without consonants, which silero-vad takes for speech (0.86 to 0.99).

A glottal pulse train of moving pitch goes through three resonators (Fant's source and filter) whose centres glide from vowel to
vowel; each syllable swells and fades.
"""

import numpy as np

RATE = 16000  # Hz
# Centres of the formants in Hz, Peterson and Barney's averages of men's voices.
FORMANTS = {"a": (730, 1090, 2440), "i": (270, 2290, 3010), "u": (300, 870, 2240), "e": (530, 1840, 2480), "o": (570, 840, 2410)}
WIDTHS = (80, 100, 140)  # Hz
SYLLABLE = 0.18  # s


def resonate(x: np.ndarray, centre: np.ndarray, width: float) -> np.ndarray:
    """A resonator of two poles whose centre (Hz) moves with time."""
    r = np.exp(-np.pi * width / RATE)
    a, b = 2 * r * np.cos(2 * np.pi * centre / RATE), r * r
    y, y1, y2 = np.empty_like(x), 0.0, 0.0
    for i in range(len(x)):
        y[i] = x[i] * (1 - r) + a[i] * y1 - b * y2
        y1, y2 = y[i], y1
    return y


def speak(vowels: str = "aieouaeiou") -> np.ndarray:
    """Samples at 16 kHz in -0.5..0.5."""
    n = int(len(vowels) * SYLLABLE * RATE)
    t = np.arange(n) / RATE
    pitch = 120 + 20 * np.sin(2 * np.pi * 2.3 * t) + 10 * np.sin(2 * np.pi * 0.7 * t)
    pulses = np.diff(np.floor(np.cumsum(pitch / RATE)), prepend=0.0)
    breath = 0.01 * np.random.default_rng(0).standard_normal(n)
    x = (pulses + breath) * (0.15 + 0.85 * np.abs(np.sin(np.pi * t / SYLLABLE)) ** 0.7)
    # The last two fifths of a vowel glide to the next.
    at = np.minimum((t / SYLLABLE).astype(int), len(vowels) - 1)
    glide = np.clip((t / SYLLABLE - at - 0.6) / 0.4, 0, 1)[:, None]
    table = np.array([FORMANTS[v] for v in vowels], float)
    centres = table[at] * (1 - glide) + table[np.minimum(at + 1, len(vowels) - 1)] * glide
    for k, width in enumerate(WIDTHS):
        x = resonate(x, centres[:, k], width)
    x = np.diff(x, prepend=0.0)
    return (x * 0.5 / np.abs(x).max()).astype(np.float32)
