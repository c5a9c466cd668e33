//! Records of proofs: dynamic updates on a real BIND, programs, and providers on the wire.
//!
//! What stands for a hosted provider speaks its public protocol and puts what it is told into a
//! real name server, so that a record is proven as it is in the world: set, looked up, cleared.

mod acme_dns;
mod cloudflare;
mod digitalocean;
mod exec;
mod rfc2136;
mod route53;
mod route53_fake;
mod world;
