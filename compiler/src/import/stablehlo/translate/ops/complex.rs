//! Complex arithmetic over the planes of real and imaginary parts.

use super::super::super::super::fail::{R, bad_arguments};
use super::super::cx::Cx;
use super::super::value::Val;
use super::{Row, any};

pub const OPS: &[Row] = &[any("stablehlo.complex", complex), any("stablehlo.real", real), any("stablehlo.imag", imag)];

fn complex(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    Ok(vec![Val::Complex(cx.plain(0)?, cx.plain(1)?)])
}

fn real(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    match cx.val(0)? {
        Val::Complex(re, _) => Ok(vec![Val::Plain(re)]),
        Val::Plain(v) => Ok(vec![Val::Plain(v)]),
        other => bad_arguments(format!("it takes a tensor, not {}", other.kind())),
    }
}

fn imag(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    match cx.val(0)? {
        Val::Complex(_, im) => Ok(vec![Val::Plain(im)]),
        Val::Plain(v) => {
            let zero = cx.full_like(v, 0.0)?;
            Ok(vec![Val::Plain(zero)])
        }
        other => bad_arguments(format!("it takes a tensor, not {}", other.kind())),
    }
}
