//! Real authorities and name servers for tests.
