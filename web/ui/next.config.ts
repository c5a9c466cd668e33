import type { NextConfig } from "next";

/**
 * The UI is a set of static files: the web service embeds `out/` and serves it, and nothing about
 * a particular installation is baked in (see `GET /api/site`).
 */
const nextConfig: NextConfig = {
  output: "export",
  reactStrictMode: true,
  poweredByHeader: false,
  images: { unoptimized: true },
  typedRoutes: false,
  // One folder up there is a Cargo workspace; without this Next looks for a lockfile there too.
  turbopack: { root: import.meta.dirname },
};

export default nextConfig;
