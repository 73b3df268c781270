//! Mistakes with the cube core.

use super::*;

/// The cube core.
pub fn cube() -> Vec<Operator> {
    let field = |name: &'static str, what: &'static str, field: &'static str, f: fn(&str) -> String| {
        rewritten(name, what, move |l| {
            let Some((a, rest)) = l.split_once(&format!(".{field} = ")) else { return vec![] };
            let Some(value) = rest.strip_suffix(';') else { return vec![] };
            vec![format!("{a}.{field} = {};", f(value))]
        })
    };
    let once_more = |v: &str| plus(v, 1);
    let once_less = |v: &str| plus(v, -1);
    let fractal_less = |v: &str| plus(v, -16);
    vec![
        argument("nz-rows", "one row too few into L1", &["Nd2NzParams"], nth(1), by(-1)),
        argument("nz-columns", "one column too few into L1", &["Nd2NzParams"], nth(2), by(-1)),
        argument("nz-columns-more", "one column too many into L1", &["Nd2NzParams"], nth(2), by(1)),
        argument("nz-pitch", "rows in global memory one element further apart", &["Nd2NzParams"], nth(4), by(1)),
        argument("nz-c0-stride", "columns of fractals one row further apart", &["Nd2NzParams"], nth(5), by(1)),
        argument("nz-c0-short", "columns of fractals one row closer", &["Nd2NzParams"], nth(5), by(-1)),
        argument("nz-n-stride", "rows of fractals two blocks apart", &["Nd2NzParams"], nth(6), by(1)),
        dropped("edge-drop", "the edge of an operand not filled with zeros", |l| l.trim_start().starts_with("InitConstValue(")),
        argument(
            "edge-value",
            "the edge of an operand filled with NaN, or with numbers",
            &["InitConstValueParams"],
            nth(3),
            |_, _, _, a| {
                Some(if a == "int16_t(0)" { "int16_t(0x0501)".into() } else { a.replace("(0)", "(__builtin_nanf(\"\"))") })
            },
        ),
        argument("edge-blocks", "one block of an operand's edge not filled", &["InitConstValueParams"], nth(1), by(-1)),
        argument("edge-gap", "an operand's edge filled at a wrong stride", &["InitConstValueParams"], nth(2), |_, c, l, a| {
            (&l[c.args[0].clone()] != "1").then(|| plus(a, 1))
        }),
        argument("load-start", "a load that starts at the next fractal", &["LoadData2DParams"], nth(0), by(1)),
        argument("load-repeat", "a load of one fractal less", &["LoadData2DParams"], nth(1), by(-1)),
        argument("load-stride", "a load at a wrong stride", &["LoadData2DParams"], nth(2), |_, c, l, a| {
            (&l[c.args[1].clone()] != "1").then(|| plus(a, 1))
        }),
        argument("load-gap", "a load that leaves gaps", &["LoadData2DParams"], nth(4), |_, c, l, a| {
            (&l[c.args[1].clone()] != "1").then(|| plus(a, 1))
        }),
        argument(
            "load-transpose",
            "fractals transposed that must not be, or the other way",
            &["LoadData2DParams"],
            nth(5),
            |_, _, _, a| Some(if a == "true" { "false" } else { "true" }.into()),
        ),
        field("product-rows", "a product of 16 rows less", "m", fractal_less),
        field("product-columns", "a product of 16 columns less", "n", fractal_less),
        field("product-depth", "a product one step less deep", "k", once_less),
        field("product-deeper", "a product one step deeper", "k", |v| plus(v, 16)),
        field("init-always", "every product overwrites the accumulators", "cmatrixInitVal", |_| "true".into()),
        field("init-never", "no product overwrites the accumulators", "cmatrixInitVal", |_| "false".into()),
        dropped("drop-product", "a product left out", |l| l.trim_start().starts_with("Mmad(")),
        operator("operands-cube", "left operand for right", |s, at| {
            let line = s.code(at);
            let Some(c) = calls(line).into_iter().find(|c| c.name == "Mmad") else { return vec![] };
            let (a, b) = (c.args[1].clone(), c.args[2].clone());
            let (x, y) = (line[a.clone()].to_string(), line[b.clone()].to_string());
            vec![edit(at, replaced(&replaced(line, &b, &x), &a, &y))]
        }),
        field("fixpipe-columns", "a result one column narrower", "nSize", once_less),
        field("fixpipe-columns-more", "a result one column wider", "nSize", once_more),
        field("fixpipe-rows", "a result of one row less", "mSize", once_less),
        field("fixpipe-rows-more", "a result of one row more", "mSize", once_more),
        field("fixpipe-source", "a wrong stride of the accumulators", "srcStride", |v| plus(v, 16)),
        field("fixpipe-stride", "a wrong stride of the result", "dstStride", once_more),
        field("fixpipe-quant", "a result converted otherwise", "quantPre", |v| {
            let v = v.trim_start_matches("QuantMode_t::");
            format!(
                "QuantMode_t::{}",
                if v == "F322F16" {
                    "F322BF16"
                } else if v == "F322BF16" {
                    "F322F16"
                } else {
                    "F322BF16"
                }
            )
        }),
        rewritten("fixpipe-relu", "a result clipped at zero", |l| {
            if l.contains(".quantPre = ") { vec![format!("{l} out.reluEn = true;")] } else { vec![] }
        }),
    ]
}
