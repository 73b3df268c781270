//! Element types as the artifact and the C interface name them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Element type of a tensor. Types narrower than 8 bits occupy one whole byte an element. The numbers are part of the C
/// interface and never change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum DType {
    F64 = 1,
    F32 = 2,
    F16 = 3,
    BF16 = 4,
    F8E4M3FN = 5,
    F8E4M3FNUZ = 6,
    F8E5M2 = 7,
    F8E5M2FNUZ = 8,
    F8E8M0 = 9,
    F4E2M1 = 10,
    I64 = 11,
    I32 = 12,
    I16 = 13,
    I8 = 14,
    I4 = 15,
    I2 = 16,
    U64 = 17,
    U32 = 18,
    U16 = 19,
    U8 = 20,
    U4 = 21,
    U2 = 22,
    Bool = 23,
    C64 = 24,
    C128 = 25,
    F8E4M3 = 26,
    F8E3M4 = 27,
    F8E4M3B11FNUZ = 28,
    F6E2M3 = 29,
    F6E3M2 = 30,
}

impl DType {
    /// Every element type with its name, in the order of the numbers, which start at 1.
    pub const ALL: [(DType, &'static str); 30] = [
        (DType::F64, "f64"),
        (DType::F32, "f32"),
        (DType::F16, "f16"),
        (DType::BF16, "bf16"),
        (DType::F8E4M3FN, "f8e4m3fn"),
        (DType::F8E4M3FNUZ, "f8e4m3fnuz"),
        (DType::F8E5M2, "f8e5m2"),
        (DType::F8E5M2FNUZ, "f8e5m2fnuz"),
        (DType::F8E8M0, "f8e8m0"),
        (DType::F4E2M1, "f4e2m1"),
        (DType::I64, "i64"),
        (DType::I32, "i32"),
        (DType::I16, "i16"),
        (DType::I8, "i8"),
        (DType::I4, "i4"),
        (DType::I2, "i2"),
        (DType::U64, "u64"),
        (DType::U32, "u32"),
        (DType::U16, "u16"),
        (DType::U8, "u8"),
        (DType::U4, "u4"),
        (DType::U2, "u2"),
        (DType::Bool, "bool"),
        (DType::C64, "c64"),
        (DType::C128, "c128"),
        (DType::F8E4M3, "f8e4m3"),
        (DType::F8E3M4, "f8e3m4"),
        (DType::F8E4M3B11FNUZ, "f8e4m3b11fnuz"),
        (DType::F6E2M3, "f6e2m3"),
        (DType::F6E3M2, "f6e3m2"),
    ];

    /// The name, for example `f32`.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize - 1].1
    }

    /// The type of a number of the C interface.
    pub fn from_number(n: u32) -> Option<DType> {
        Self::ALL.get((n as usize).checked_sub(1)?).map(|e| e.0)
    }

    /// Bytes an element occupies.
    pub fn size(self) -> usize {
        match self {
            DType::C128 => 16,
            DType::F64 | DType::I64 | DType::U64 | DType::C64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F16 | DType::BF16 | DType::I16 | DType::U16 => 2,
            _ => 1,
        }
    }

    /// Alignment in memory, in bytes.
    pub fn align(self) -> usize {
        self.size().min(8)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DType {
    type Err = String;
    fn from_str(s: &str) -> Result<DType, String> {
        DType::ALL.into_iter().find(|e| e.1 == s).map(|e| e.0).ok_or_else(|| format!("unknown element type `{s}`"))
    }
}

impl Serialize for DType {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for DType {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<DType, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_agree() {
        for (i, (d, name)) in DType::ALL.into_iter().enumerate() {
            assert_eq!(d as usize, i + 1);
            assert_eq!(DType::from_number(d as u32), Some(d));
            assert_eq!(name.parse::<DType>(), Ok(d));
            assert_eq!(serde_json::from_str::<DType>(&serde_json::to_string(&d).unwrap()).unwrap(), d);
        }
        assert_eq!(DType::from_number(0), None);
        assert_eq!(DType::from_number(31), None);
        assert!("f31".parse::<DType>().is_err());
    }
}
