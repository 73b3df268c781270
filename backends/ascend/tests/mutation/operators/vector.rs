//! Mistakes with the vector unit.

use super::*;

/// The vector unit.
pub fn vector() -> Vec<Operator> {
    vec![
        argument("count-more", "one element too many", VECTOR, last, by(1)),
        argument("count-less", "one element too few", VECTOR, last, by(-1)),
        dropped("drop-instruction", "an instruction left out", is_vector),
        swapped(
            "other-instruction",
            "another instruction",
            &[
                (" Add(", " Sub("),
                (" Sub(", " Add("),
                (" Mul(", " Add("),
                (" Div(", " Mul("),
                (" Max(", " Min("),
                (" Min(", " Max("),
                (" Adds<", " Muls<"),
                (" Muls<", " Adds<"),
                (" Maxs<", " Mins<"),
                (" Mins<", " Maxs<"),
                (" Exp(", " Ln("),
                (" Ln(", " Exp("),
                (" Sqrt(", " Abs("),
                (" Abs(", " Sqrt("),
                (" ReduceSum<", " ReduceMax<"),
                (" ReduceMax<", " ReduceMin<"),
                (" ReduceMin<", " ReduceMax<"),
            ],
        ),
        operator("operands", "operands exchanged", |s, at| {
            let line = s.code(at);
            let Some(c) = calls(line).into_iter().find(|c| matches!(c.name.as_str(), "Sub" | "Div" | "Compare" | "Select"))
            else {
                return vec![];
            };
            let first = if c.name == "Select" { 2 } else { 1 };
            let (a, b) = (c.args[first].clone(), c.args[first + 1].clone());
            let (x, y) = (line[a.clone()].to_string(), line[b.clone()].to_string());
            if x == y || s.element(&y).is_none() {
                return vec![];
            }
            vec![edit(at, replaced(&replaced(line, &b, &x), &a, &y))]
        }),
        argument(
            "constant",
            "another number",
            &["Adds", "Muls", "Maxs", "Mins", "Duplicate", "CompareScalar"],
            |c| Some(if c.name == "Duplicate" { 1 } else { 2 }),
            |_, _, _, a| {
                let ty = a.split_once('(').map(|(t, _)| t).filter(|t| size_of(t) < 4 || *t == "int64_t");
                if a.contains("FloatOf") || a.contains("GetValue") {
                    return None;
                }
                Some(match ty {
                    Some(t) => format!("{t}(0.25f + float({a}))"),
                    None if a.ends_with('f') => format!("{a} + 0.25f"),
                    None => plus(a, 1),
                })
            },
        ),
        swapped(
            "rounding-none",
            "a conversion without the rounding it needs",
            &[
                ("RoundMode::CAST_RINT", "RoundMode::CAST_NONE"),
                ("RoundMode::CAST_TRUNC", "RoundMode::CAST_NONE"),
                ("RoundMode::CAST_FLOOR", "RoundMode::CAST_NONE"),
            ],
        ),
        swapped(
            "rounding-other",
            "another rounding mode",
            &[
                ("RoundMode::CAST_RINT", "RoundMode::CAST_FLOOR"),
                ("RoundMode::CAST_TRUNC", "RoundMode::CAST_CEIL"),
                ("RoundMode::CAST_FLOOR", "RoundMode::CAST_CEIL"),
                ("RoundMode::CAST_CEIL", "RoundMode::CAST_FLOOR"),
                ("RoundMode::CAST_ROUND", "RoundMode::CAST_TRUNC"),
            ],
        ),
        operator("cast-by-bits", "bits moved where numbers are converted", |s, at| {
            let line = s.code(at);
            let Some(c) = calls(line).into_iter().find(|c| c.name == "Cast") else { return vec![] };
            let (to, from) = (&line[c.args[0].clone()], &line[c.args[1].clone()]);
            let (Some(t), Some(f)) = (s.element(to), s.element(from)) else { return vec![] };
            if t == f {
                return vec![];
            }
            let per = 32 / size_of(t).max(size_of(f));
            let n = &line[c.args[3].clone()];
            vec![edit(at, format!("DataCopy({to}, {from}.ReinterpretCast<{t}>(), ({n}) / {per} * {per});"))]
        }),
        swapped(
            "compare-edge",
            "a comparison that decides equal elements otherwise",
            &[
                ("CMPMODE::GT", "CMPMODE::GE"),
                ("CMPMODE::GE", "CMPMODE::GT"),
                ("CMPMODE::LT", "CMPMODE::LE"),
                ("CMPMODE::LE", "CMPMODE::LT"),
                ("CMPMODE::EQ", "CMPMODE::GE"),
                ("CMPMODE::NE", "CMPMODE::GT"),
            ],
        ),
        swapped(
            "compare-turned",
            "a comparison the other way round",
            &[
                ("CMPMODE::GT", "CMPMODE::LT"),
                ("CMPMODE::GE", "CMPMODE::LE"),
                ("CMPMODE::LT", "CMPMODE::GT"),
                ("CMPMODE::LE", "CMPMODE::GE"),
                ("CMPMODE::EQ", "CMPMODE::NE"),
                ("CMPMODE::NE", "CMPMODE::EQ"),
            ],
        ),
        argument("other-element", "the scalar of the first row for all rows", &["GetValue"], nth(0), |_, _, l, a| {
            (!l.contains("T(0)") && !l.contains("dst.") && a != "0").then(|| "0".to_string())
        }),
        argument("scalar-sign", "a scalar with the other sign", &["Adds"], nth(2), |_, _, _, a| {
            a.strip_prefix('-').filter(|x| x.contains("GetValue")).map(str::to_string)
        }),
    ]
}
