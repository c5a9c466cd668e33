//! `make bench-gateway`: our gateway beside other proxies. See `kalpana_bench::gateway`.

fn main() -> anyhow::Result<()> {
    kalpana_bench::gateway::main()
}
