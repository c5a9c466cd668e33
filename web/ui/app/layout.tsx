import type { Metadata, Viewport } from "next";
import localFont from "next/font/local";
import type { ReactNode } from "react";

import { Providers } from "@/components/shell/providers";
import { THEME_SCRIPT } from "@/lib/theme";

import "./globals.css";

const instrumentSans = localFont({
  src: "../node_modules/@fontsource-variable/instrument-sans/files/instrument-sans-latin-wght-normal.woff2",
  weight: "400 700",
  variable: "--font-instrument-sans",
});

const jetbrainsMono = localFont({
  src: "../node_modules/@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-wght-normal.woff2",
  weight: "400 700",
  variable: "--font-jetbrains-mono",
  preload: false,
});

export const metadata: Metadata = {
  title: { default: "Kalpana", template: "%s · Kalpana" },
  description:
    "Development environments on your own server: an isolated container for each project, with VS Code in the browser.",
  robots: { index: false, follow: false },
};

export const viewport: Viewport = {
  width: "device-width",
  initialScale: 1,
  themeColor: [
    { media: "(prefers-color-scheme: light)", color: "#f9fbfc" },
    { media: "(prefers-color-scheme: dark)", color: "#0d1317" },
  ],
};

export default function RootLayout({ children }: { children: ReactNode }) {
  return (
    // The theme's script changes the class before React looks.
    <html lang="en" className={`${instrumentSans.variable} ${jetbrainsMono.variable}`} suppressHydrationWarning>
      <head>
        {/* eslint-disable-next-line no-restricted-syntax -- our own constant, nothing from outside */}
        <script dangerouslySetInnerHTML={{ __html: THEME_SCRIPT }} />
      </head>
      <body className="font-sans antialiased">
        <Providers>{children}</Providers>
      </body>
    </html>
  );
}
