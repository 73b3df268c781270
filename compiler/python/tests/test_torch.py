"""`torch.compile(model, backend="beiming")` on real models with random weights, held against torch."""

from __future__ import annotations

import warnings

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (`make models` makes .venv-torch)")
pytest.importorskip("onnxscript", reason="torch exports to ONNX by onnxscript")

import beiming  # noqa: E402


@pytest.fixture(autouse=True)
def fresh():
    torch.manual_seed(0)
    torch._dynamo.reset()


class Mlp(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 4)

    def forward(self, x):
        return self.b(torch.relu(self.norm(self.a(x))))


def run(model, *args, want_warning=None, **kwargs):
    """Compiled and by torch."""
    compiled = torch.compile(model.eval(), backend="beiming")
    with torch.inference_mode(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got, want = compiled(*args, **kwargs), model(*args, **kwargs)
    said = [str(w.message) for w in caught if "beiming" in str(w.message)]
    assert not said if want_warning is None else any(want_warning in s for s in said), said
    return got, want


def agree(got, want):
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-3)


def test_resnet():
    torchvision = pytest.importorskip("torchvision")
    agree(*run(torchvision.models.resnet18(), torch.randn(1, 3, 64, 64)))


def test_bert():
    transformers = pytest.importorskip("transformers")
    # MiniLM's architecture, smaller.
    config = transformers.BertConfig(
        vocab_size=1000, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128
    )
    got, want = run(transformers.BertModel(config), torch.randint(0, 999, (2, 16)))
    agree(got.last_hidden_state, want.last_hidden_state)
    agree(got.pooler_output, want.pooler_output)


def test_gpt2():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=1000, n_positions=64, n_embd=64, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2
    )
    got, want = run(transformers.GPT2LMHeadModel(config), torch.randint(0, 999, (1, 16)), use_cache=False)
    agree(got.logits, want.logits)


def test_parameters_may_change():
    model, x = Mlp().eval(), torch.randn(3, 8)
    compiled = torch.compile(model, backend="beiming")
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("error")
        agree(compiled(x), model(x))
        model.a.weight.add_(1)
        model.norm.running_mean.sub_(2)
        agree(compiled(x), model(x))
        model.load_state_dict(Mlp().state_dict())
        agree(compiled(x), model(x))


class Pool(torch.nn.Module):
    """Its sizes are computed with: a mean that is written out."""

    def forward(self, x, y):
        return x.sum(1) / x.shape[1] + y.reshape(x.shape[0], -1).sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("model", "args", "times"),
    [
        # A fixed size first; then a range to 64, and one to 256.
        (Mlp, lambda n: (torch.randn(n, 8),), 3),
        (Pool, lambda n: (torch.randn(n, n + 3, 4), torch.randn(n, 6)), 3),
    ],
)
def test_open_sizes_are_compiled_once_for_a_range(monkeypatch, model, args, times):
    import beiming._compile

    made, compile = [], beiming._compile.compile
    monkeypatch.setattr(beiming._compile, "compile", lambda *a, **k: made.append(k.get("dims")) or compile(*a, **k))
    model = model().eval()
    compiled = torch.compile(model, backend="beiming")
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in (3, 5, 2, 5, 12, 40, 100, 7):
            given = args(n)
            agree(compiled(*given), model(*given))
    assert len(made) == times and all(made[1:]), made


class Unsupported(torch.nn.Module):
    def forward(self, x):
        return torch.linalg.svdvals(x @ x.transpose(0, 1)) + torch.relu(x)


class Writes(torch.nn.Module):
    def forward(self, x):
        x.add_(1)
        return x * 2


def test_what_cannot_be_compiled_runs_in_torch_with_a_warning():
    x = torch.randn(3, 3)
    agree(*run(Unsupported(), x, want_warning="linalg_svd"))
    model = Unsupported().eval()
    strict = torch.compile(model, backend="beiming", options={"fallback": False})
    with torch.inference_mode(), pytest.raises(Exception, match="linalg_svd"):
        strict(x)
    torch._dynamo.reset()
    compiled, a, b = torch.compile(Writes().eval(), backend="beiming"), torch.ones(3), torch.ones(3)
    with torch.inference_mode(), pytest.warns(UserWarning, match="writes to its inputs"):
        agree(compiled(a), Writes()(b))
    agree(a, b)
    torch._dynamo.reset()
    with pytest.warns(UserWarning, match="gradients"):
        assert torch.compile(Mlp().eval(), backend="beiming")(torch.randn(3, 8)).requires_grad


def test_exported_programs_and_tensors():
    model, x = Mlp().eval(), torch.randn(3, 8)
    with torch.no_grad():
        module = beiming.compile(torch.export.export(model, (x,)), progress=False).module()
        got = module(x)
        assert isinstance(got, torch.Tensor)
        agree(got, model(x))
        agree(module(x.t().contiguous().t()), model(x))
        agree(beiming.compile(torch.export.export(model.double(), (x.double(),)), progress=False).module()(x.double()), model(x.double()))
    half = torch.randn(2, 3, dtype=torch.bfloat16)

    class Double(torch.nn.Module):
        def forward(self, x):
            return x + x

    again = beiming.compile(torch.export.export(Double(), (half,)), progress=False).module()(half)
    assert again.dtype == torch.bfloat16 and torch.equal(again, half + half)
