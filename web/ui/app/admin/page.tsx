import type { Metadata } from "next";

import { Admin } from "@/components/admin/admin";

export const metadata: Metadata = { title: "Administration" };

export default function AdminPage() {
  return <Admin />;
}
