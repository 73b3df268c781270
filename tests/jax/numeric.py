"""Special functions, complex functions, transforms, matrices and random numbers: more cases for `functions`."""

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import jax.scipy.special as jss
import numpy as np

from functions import case, normal, positive


def complex_normal(*shape):
    return (normal(*shape) + 1j * normal(*shape)).astype(np.complex64)


def definite(n):
    a = normal(n, n)
    return (a @ a.T + n * np.eye(n)).astype(np.float32)


for name in "erf erfc gammaln digamma i0 i0e i1 i1e expit ndtr log_ndtr".split():
    case(f"special_{name}", getattr(jss, name), normal(40) * 3)
case("special_erfinv", jss.erfinv, np.tanh(normal(40)))
case("special_logit", jss.logit, positive(40) / 4)
case("special_zeta", jss.zeta, positive(40) + 1.1, positive(40))
case("special_polygamma", lambda x: jss.polygamma(2, x), positive(40))
case("special_gammainc", jss.gammainc, positive(40), positive(40))
case("special_betainc", jss.betainc, positive(20), positive(20), positive(20) / 4)

for name in "exp log sqrt sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh arccosh arctanh log1p expm1 square".split():
    case(f"complex_{name}", lambda z, f=getattr(jnp, name): f(z), complex_normal(30))
case("complex_arithmetic", lambda a, b: (a + b, a * b, a / b, a**b), complex_normal(30), complex_normal(30))
case("complex_matmul", lambda a, b: a @ b, complex_normal(5, 6), complex_normal(6, 5))

for n in (1, 2, 3, 5, 8, 12, 17, 33, 60, 97, 128, 257, 521):
    case(f"fft_{n}", jnp.fft.fft, normal(2, n))
    case(f"rfft_{n}", lambda x: jnp.fft.irfft(jnp.fft.rfft(x), n=x.shape[-1]), normal(2, n))
case("fft2", jnp.fft.fft2, normal(3, 12, 10))

for n in (1, 2, 5, 8, 33):
    case(f"cholesky_{n}", jnp.linalg.cholesky, definite(n))
    case(f"solve_{n}", jnp.linalg.solve, definite(n), normal(n, 3))
    case(f"triangular_{n}", lambda a, b: jsl.solve_triangular(a, b, lower=True), np.tril(definite(n)), normal(n, 2))
    case(f"slogdet_{n}", lambda a: tuple(jnp.linalg.slogdet(a)), definite(n))
    # Vectors are determined but for their signs: compare what they make up.
    case(f"qr_{n}", lambda a: (lambda q, r: (q @ r, q.T @ q))(*jnp.linalg.qr(a)), normal(n + 2, n))
    case(f"eigh_{n}", lambda a: (lambda w, v: (w, (v * w) @ v.T / a.shape[0]))(*jnp.linalg.eigh(a)), definite(n) / n)
    case(f"svd_{n}", lambda a: (lambda u, s, v: (s, (u * s) @ v))(*jnp.linalg.svd(a, full_matrices=False)), normal(n + 3, n))


def adjoint(a):
    return jnp.conj(jnp.swapaxes(a, -1, -2))


def eigen(a):
    """What is the same in whatever order the eigenvalues come: sums of their powers, and how well the vectors fit."""
    w, v = jnp.linalg.eig(a)
    return w.sum(-1), (w * w).sum(-1), jnp.abs(a @ v - v * w[..., None, :]), jnp.linalg.norm(v, axis=-2)


def whole(a):
    u, s, v = jnp.linalg.svd(a)
    n = s.shape[-1]
    return s, (u[..., :n] * s[..., None, :]) @ v[..., :n, :], adjoint(u) @ u, v @ adjoint(v)


Z5 = complex_normal(5, 5)
case("complex_lu", lambda a: jsl.lu(a), Z5)
case("complex_inverse", jnp.linalg.inv, complex_normal(2, 5, 5))
case("complex_qr", lambda a: tuple(jnp.linalg.qr(a)), complex_normal(6, 4))
case("complex_eigh", lambda a: (lambda w, v: (w, (v * w) @ adjoint(v)))(*jnp.linalg.eigh(a)), Z5 + Z5.conj().T)
case("complex_svd", whole, complex_normal(3, 5))
case("svd_whole", whole, normal(6, 4))
for kind, draw in {"real": normal, "complex": complex_normal}.items():
    case(f"hessenberg_{kind}", lambda a: jsl.hessenberg(a, calc_q=True), draw(5, 5))
    case(f"eig_{kind}", eigen, draw(3, 6, 6))
    case(f"tridiagonal_{kind}", lambda a: jax.lax.linalg.tridiagonal(a + adjoint(a), lower=True), draw(5, 5))
    case(f"tridiagonal_{kind} of an upper triangle", lambda a: jax.lax.linalg.tridiagonal(a + adjoint(a), lower=False), draw(5, 5))
case("tridiagonal_solve", jax.lax.linalg.tridiagonal_solve, np.r_[0, normal(5)].astype(np.float32), normal(6),
     np.r_[normal(5), 0].astype(np.float32), normal(6, 2))
case("schur_complex", lambda a: (lambda t, q: (q @ t @ adjoint(q), adjoint(q) @ q, jnp.tril(t, -1)))(*jsl.schur(a, output="complex")), Z5)
case("sqrtm", jsl.sqrtm, definite(4))


def real_schur(a):
    """What makes up the form, whether its blocks are in standard form, and in their order the eigenvalues. (Elements are determined but
    for their signs, and for which of a block's rows comes first: a step more or less before it is taken for converged turns it.)"""
    t, q = jsl.schur(a)
    low, up, d = (jnp.diagonal(t, k, -2, -1) for k in (-1, 1, 0))
    block = low != 0
    standard = ~block | ((d[..., :-1] == d[..., 1:]) & (low * up < 0))
    return q @ t @ adjoint(q), adjoint(q) @ q, jnp.tril(t, -2), ~(block[..., 1:] & block[..., :-1]), standard, d, low * up * block


def companion(n):
    """Eigenvalues on the unit circle, which only an exceptional shift gets apart."""
    return np.roll(np.eye(n), 1, axis=0)


for n in (1, 2, 3, 5, 8, 33):
    case(f"x64 schur_real_{n}", real_schur, normal(n, n, dtype=np.float64))
# In f32 JAX may find the eigenvalues in another order.
case("schur_real_batch", lambda a: real_schur(a)[:-2], normal(2, 3, 6, 6))
case("x64 schur_real_batch", real_schur, normal(2, 3, 6, 6, dtype=np.float64))
case("x64 schur_real_of real eigenvalues", real_schur, np.triu(normal(7, 7, dtype=np.float64), 1) + np.diag(np.arange(7.0)) + 1e-3 * normal(7, 7))
case("x64 schur_real_of a companion", lambda a: real_schur(a)[:-2], companion(6))
case("x64 schur_real_of a defective matrix", lambda a: real_schur(a)[:2], np.eye(5, k=1) + np.eye(5))
case("x64 schur_real_of a triangle", real_schur, np.triu(normal(5, 5, dtype=np.float64)))
case("rsf2csf", lambda a: (lambda t, q: (q @ t @ adjoint(q), jnp.tril(t, -1)))(*jsl.rsf2csf(*jsl.schur(a))), normal(5, 5))
case("sqrtm of a real matrix", jsl.sqrtm, definite(5) + normal(5, 5))
case("solve_sylvester", jsl.solve_sylvester, normal(4, 4) + 4 * np.eye(4, dtype=np.float32), normal(3, 3) + 4 * np.eye(3, dtype=np.float32), normal(4, 3))
case("expm", jsl.expm, normal(5, 5) / 2)
case("funm", lambda a: jsl.funm(a, jnp.exp, disp=False)[0], normal(4, 4) / 2)
case("polar", lambda a: jsl.polar(a, method="svd"), normal(5, 4))
case("eigh_tridiagonal", lambda d, e: jsl.eigh_tridiagonal(d, e, eigvals_only=True), normal(7), normal(6))
case("eigh_tridiagonal with vectors", lambda d, e: (lambda w, v: (w, (v * w) @ v.T, v.T @ v))(*jsl.eigh_tridiagonal(d, e)), normal(7), normal(6))
case("tridiagonal_solve of singular systems", lambda dl, d, du, b: jax.lax.linalg.tridiagonal_solve(dl, d, du, b, perturb_singular=True),
     np.r_[0, normal(5)].astype(np.float32), normal(6), np.r_[normal(5), 0].astype(np.float32), normal(6, 2))
for kind, draw in {"real": normal, "complex": complex_normal}.items():
    for mode in ("left", "right"):
        case(f"qr_multiply_{kind} from the {mode}", lambda a, c, m=mode: jsl.qr_multiply(a, c, m), draw(5, 3), draw(3, 4) if mode == "left" else draw(4, 5))
    for left in (False, True):
        for transpose in (False, True):
            case(f"ormqr_{kind} {'left' if left else 'right'}{', transposed' if transpose else ''}",
                 lambda a, c, l=left, t=transpose: jax.lax.linalg.ormqr(a, a[0], c, left=l, transpose=t),
                 draw(5, 3), draw(5, 4) if left else draw(4, 5))

for name, draw in {
    "uniform": lambda k: jax.random.uniform(k, (7, 5)),
    "normal": lambda k: jax.random.normal(k, (7, 5)),
    "randint": lambda k: jax.random.randint(k, (9,), 0, 100),
    "permutation": lambda k: jax.random.permutation(k, 11),
    "categorical": lambda k: jax.random.categorical(k, jnp.arange(6.0)),
    "gumbel": lambda k: jax.random.gumbel(k, (9,)),
}.items():
    for impl in ("threefry2x32", "rbg"):
        case(f"random_{name}_{impl}", lambda s, f=draw, i=impl: f(jax.random.key(s, impl=i)), np.uint32(42))
