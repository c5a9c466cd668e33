//! What is kept: files by their hash, compressed once, and the lists that name them. Bounded.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use moka::policy::EvictionPolicy;
use moka::sync::Cache as Moka;

use super::manifest::{Digest, File, Manifest};

/// Lists that are kept: an image's, its predecessor's, and some to spare.
const MANIFESTS: u64 = 8;

/// What keeping a file costs besides its bytes.
const OVERHEAD_BYTES: usize = 256;

/// Brotli's effort, of 11. The last steps take ten times as long for a few percent.
const EFFORT: u32 = 9;

/// Brotli's window, as a power of two: the largest that browsers must know. Source: RFC 7932.
const WINDOW: u32 = 22;

/// Files below this length are not worth compressing.
const COMPRESSED_FROM_BYTES: usize = 512;

/// A file that an image vouches for. Clones share its bytes.
#[derive(Debug, Clone)]
pub struct Asset {
    /// The hash of what it is before it is compressed.
    pub hash: Digest,
    /// What is sent.
    pub body: Bytes,
    /// Whether that is compressed with Brotli. Every browser takes it, so there is no other form.
    pub is_brotli: bool,
}

/// Something is not what was vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not what the image vouches for")]
pub struct Mismatch;

impl Asset {
    /// Compares what a container sent with what the image vouches for, and compresses it. Takes up
    /// to some seconds of a processor.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn verify(bytes: Vec<u8>, file: File) -> Result<Self, Mismatch> {
        if bytes.len() != file.bytes as usize || Digest::of(&bytes) != file.hash {
            return Err(Mismatch);
        }
        let compressed = compress(&bytes).filter(|compressed| compressed.len() < bytes.len());
        let is_brotli = compressed.is_some();
        Ok(Self {
            hash: file.hash,
            body: Bytes::from(compressed.unwrap_or(bytes).into_boxed_slice()),
            is_brotli,
        })
    }

    fn weight(&self) -> u32 {
        u32::try_from(self.body.len() + OVERHEAD_BYTES).unwrap_or(u32::MAX)
    }
}

fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < COMPRESSED_FROM_BYTES {
        return None;
    }
    let mut compressor = brotli::CompressorWriter::new(Vec::new(), 64 << 10, EFFORT, WINDOW);
    // A vector takes every byte; were it not to, the file would be kept as it is.
    compressor.write_all(bytes).ok()?;
    Some(compressor.into_inner())
}

/// The cache. Clones are not made; it is shared.
#[derive(Debug)]
pub struct Cache {
    assets: Moka<Digest, Asset>,
    manifests: Moka<Digest, Arc<Manifest>>,
}

impl Cache {
    /// Makes an empty cache that may hold so many bytes of files.
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            assets: Moka::builder()
                .max_capacity(limit_bytes)
                .weigher(|_, asset: &Asset| asset.weight())
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            manifests: Moka::builder()
                .max_capacity(MANIFESTS)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }

    /// Returns a file.
    pub fn asset(&self, hash: Digest) -> Option<Asset> {
        self.assets.get(&hash)
    }

    /// Returns the list with this hash.
    pub fn manifest(&self, hash: Digest) -> Option<Arc<Manifest>> {
        self.manifests.get(&hash)
    }

    /// Keeps a file, in the place of those that were not asked for the longest.
    pub fn keep(&self, asset: Asset) {
        self.assets.insert(asset.hash, asset);
        self.assets.run_pending_tasks();
    }

    /// Keeps a list under its hash.
    pub fn keep_manifest(&self, hash: Digest, manifest: Arc<Manifest>) {
        self.manifests.insert(hash, manifest);
    }

    /// Returns how many bytes the files take.
    pub fn bytes(&self) -> u64 {
        self.assets.weighted_size()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        File {
            hash: Digest::of(bytes),
            bytes: u32::try_from(bytes.len()).unwrap(),
        }
    }

    #[test]
    fn what_is_not_vouched_for_is_no_asset() {
        let good = b"console.log(1)";
        assert!(Asset::verify(good.to_vec(), file(good)).is_ok());
        assert_eq!(
            Asset::verify(b"console.log(2)".to_vec(), file(good)).unwrap_err(),
            Mismatch
        );
        let longer = File {
            bytes: 15,
            ..file(good)
        };
        assert_eq!(Asset::verify(good.to_vec(), longer).unwrap_err(), Mismatch);
    }

    #[test]
    fn a_file_is_compressed_where_that_makes_it_smaller() {
        let text = "let x = 1;\n".repeat(1000);
        let asset = Asset::verify(text.clone().into_bytes(), file(text.as_bytes())).unwrap();
        assert!(asset.is_brotli && asset.body.len() < 200);
        let mut decompressed = String::new();
        brotli::Decompressor::new(&*asset.body, 4096)
            .read_to_string(&mut decompressed)
            .unwrap();
        assert_eq!(decompressed, text);
        let noise: Vec<u8> = (0..100u32)
            .flat_map(|n| {
                aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &n.to_be_bytes())
                    .as_ref()
                    .to_vec()
            })
            .collect();
        let asset = Asset::verify(noise.clone(), file(&noise)).unwrap();
        assert_eq!((asset.is_brotli, &*asset.body), (false, &*noise));
    }

    #[test]
    fn the_cache_never_holds_more_than_it_may() {
        let cache = Cache::new(1000);
        let mut hashes = Vec::new();
        for content in 0..10u8 {
            let bytes = vec![content; 200];
            let asset = Asset::verify(bytes.clone(), file(&bytes)).unwrap();
            hashes.push(asset.hash);
            cache.keep(asset);
            assert!(cache.bytes() <= 1000, "{}", cache.bytes());
        }
        assert!(cache.asset(hashes[9]).is_some(), "the newest is kept");
        assert!(cache.asset(hashes[0]).is_none(), "the oldest is not");
    }
}
