//! BLAKE3 of a large section on several threads. The result is the ordinary BLAKE3 hash: its tree is cut where the standard
//! cuts it, and each thread hashes one subtree.

use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};
use blake3::{Hash, Hasher};

/// Bytes below which starting a thread costs more than hashing.
const MIN_SPLIT: usize = 1 << 20;

/// BLAKE3 of `bytes`, on at most `threads` threads.
pub fn blake3(bytes: &[u8], threads: usize) -> Hash {
    if threads < 2 || bytes.len() < MIN_SPLIT {
        return blake3::hash(bytes);
    }
    let (left, right) = bytes.split_at(left_subtree_len(bytes.len() as u64) as usize);
    let (l, r) = both(left, right, 0, threads);
    merge_subtrees_root(&l, &r, Mode::Hash)
}

fn subtree(bytes: &[u8], offset: u64, threads: usize) -> ChainingValue {
    if threads < 2 || bytes.len() < MIN_SPLIT {
        return Hasher::new().set_input_offset(offset).update(bytes).finalize_non_root();
    }
    let (left, right) = bytes.split_at(left_subtree_len(bytes.len() as u64) as usize);
    let (l, r) = both(left, right, offset, threads);
    merge_subtrees_non_root(&l, &r, Mode::Hash)
}

fn both(left: &[u8], right: &[u8], offset: u64, threads: usize) -> (ChainingValue, ChainingValue) {
    let half = threads / 2;
    let do_right = || subtree(right, offset + left.len() as u64, threads - half);
    std::thread::scope(|s| {
        // Without a second thread (a limit of the system) the work is done here, just later.
        let other = std::thread::Builder::new().spawn_scoped(s, do_right).ok();
        let l = subtree(left, offset, half);
        let r = other.and_then(|h| h.join().ok()).unwrap_or_else(do_right);
        (l, r)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_serial_hash() {
        let data: Vec<u8> = (0..5_300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for len in [0, 1, 1024, MIN_SPLIT - 1, MIN_SPLIT, MIN_SPLIT + 1, 3 * MIN_SPLIT + 77, data.len()] {
            for threads in [1, 2, 3, 8] {
                assert_eq!(blake3(&data[..len], threads), blake3::hash(&data[..len]), "{len} bytes, {threads} threads");
            }
        }
    }
}
