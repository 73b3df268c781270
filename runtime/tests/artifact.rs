//! The file: what is written is read back, the same input gives the same bytes, and no altered or truncated file is accepted.
#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Write};

use beiming_runtime::Error;
use beiming_runtime::format::container::{MAX_SECTIONS, PAGE, VERSION, write_file};
use beiming_runtime::format::{Artifact, Writer};

fn sample() -> Vec<u8> {
    let mut w = Writer::new(Cursor::new(vec![])).unwrap();
    let offsets = w
        .section("weights", |s| {
            let mut offsets = vec![];
            for i in 0..3u8 {
                offsets.push(s.align(64)?);
                s.write_all(&vec![i + 1; 100 + usize::from(i)])?;
            }
            assert_eq!(s.position(), 2 * 128 + 102);
            Ok(offsets)
        })
        .unwrap();
    assert_eq!(offsets, [0, 128, 256]);
    w.section("code", |s| s.write_all(b"\x7fELF and so on")).unwrap();
    w.section("manifest", |s| s.write_all(b"{}")).unwrap();
    w.section("empty", |_| Ok(())).unwrap();
    w.finish().unwrap().into_inner()
}

#[test]
fn round_trip() {
    let bytes = sample();
    assert_eq!(bytes, sample());
    let a = Artifact::from_bytes(&bytes).unwrap();
    let names: Vec<_> = a.sections().iter().map(|s| (s.name.as_str(), s.offset % 64, s.length)).collect();
    assert_eq!(names, [("weights", 0, 358), ("code", 0, 14), ("manifest", 0, 2), ("empty", 0, 0)]);
    assert_eq!(a.sections()[0].offset % PAGE, 0);
    assert_eq!(a.section("code"), Some(&b"\x7fELF and so on"[..]));
    assert_eq!(a.section("weights").unwrap()[256..], [3; 102]);
    assert_eq!(a.section("report"), None);
    assert!(a.required("report").is_err());
    assert!(a.manifest().is_err());
}

#[test]
fn every_truncation_is_refused() {
    let bytes = sample();
    for n in (0..bytes.len()).step_by(64).chain([1, 7, 8, 9, 15, 17, bytes.len() - 1]) {
        let e = Artifact::from_bytes(&bytes[..n]).err().unwrap_or_else(|| panic!("{n} bytes were accepted"));
        let expected = if n == 0 { matches!(e, Error::NotAnArtifact(_)) } else { matches!(e, Error::Truncated { .. }) };
        assert!(expected, "{n} bytes: {e}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(matches!(Artifact::from_bytes(&longer), Err(Error::Altered(_))));
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = sample();
    for bit in (0..PAGE as usize * 8).step_by(13).chain(0..512).chain(PAGE as usize * 8..bytes.len() * 8) {
        let mut b = bytes.clone();
        b[bit / 8] ^= 1 << (bit % 8);
        let e = Artifact::from_bytes(&b).err().unwrap_or_else(|| panic!("bit {bit} was not noticed"));
        let expected = match bit / 8 {
            0..8 => matches!(e, Error::NotAnArtifact(_)),
            8..12 => matches!(e, Error::Version { .. }),
            _ => matches!(e, Error::Altered(_)),
        };
        assert!(expected, "bit {bit}: {e}");
    }
}

/// A header that a faulty writer made: right hash, wrong content.
#[test]
fn impossible_headers_are_refused() {
    type Edit = fn(&mut [u8]);
    let edits: [(&str, Edit); 7] = [
        ("sections", |h| h[12..16].copy_from_slice(&u32::MAX.to_le_bytes())),
        ("outside", |h| h[64 + 16..64 + 24].copy_from_slice(&u64::MAX.to_le_bytes())),
        ("outside", |h| h[64 + 24..64 + 32].copy_from_slice(&u64::MAX.to_le_bytes())),
        ("outside", |h| h[64 + 16..64 + 24].copy_from_slice(&0u64.to_le_bytes())),
        ("name", |h| h[64] = b'/'),
        ("name", |h| h.copy_within(64..80, 128)),
        ("after the last", |h| h[12..16].copy_from_slice(&3u32.to_le_bytes())),
    ];
    for (what, edit) in edits {
        let mut b = sample();
        edit(&mut b[..PAGE as usize]);
        b[32..64].fill(0);
        let hash = *blake3::hash(&b[..PAGE as usize]).as_bytes();
        b[32..64].copy_from_slice(&hash);
        match Artifact::from_bytes(&b) {
            Err(Error::Inconsistent(e)) => assert!(e.contains(what), "{e}"),
            Err(e) => panic!("{what}: {e}"),
            Ok(_) => panic!("{what} was accepted"),
        }
    }
}

#[test]
fn writers_refuse_bad_sections() {
    let mut w = Writer::new(Cursor::new(vec![])).unwrap();
    for name in ["", "Upper", "a/b", "seventeen-letters"] {
        assert!(w.section(name, |_| Ok(())).is_err(), "{name}");
    }
    w.section("twice", |_| Ok(())).unwrap();
    assert!(w.section("twice", |_| Ok(())).is_err());
    for i in 1..MAX_SECTIONS {
        w.section(&format!("s{i}"), |_| Ok(())).unwrap();
    }
    assert!(w.section("one-too-many", |_| Ok(())).is_err());
    assert_eq!(Artifact::from_bytes(&w.finish().unwrap().into_inner()).unwrap().sections().len(), MAX_SECTIONS);
}

#[test]
fn files_appear_when_they_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.bm");
    let failed: Result<(), Error> = write_file(&path, |_| Err(Error::Busy));
    assert!(matches!(failed, Err(Error::Busy)));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    write_file(&path, |w| w.section("code", |s| s.write_all(b"x")).map_err(|e| Error::Internal(e.to_string()))).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let a = Artifact::open(&path).unwrap();
    assert_eq!(a.section("code"), Some(&b"x"[..]));
    assert!(matches!(Artifact::open(dir.path()), Err(Error::NotAnArtifact(_) | Error::Io { .. })));
    assert!(matches!(Artifact::open(&dir.path().join("none")), Err(Error::Io { .. })));
    std::fs::write(&path, [0u8; 5000]).unwrap();
    assert!(matches!(Artifact::open(&path), Err(Error::NotAnArtifact(_))));
    assert_eq!(VERSION, 1);
}
