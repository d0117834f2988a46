import type { Metadata } from 'next';
import Link from 'next/link';
import type { ReactNode } from 'react';
import './shop.css';

export const metadata: Metadata = { title: 'A tiny shop', description: 'Recommendations in a Next.js shop.', icons: 'data:,' };

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <header>
          <Link href="/" prefetch={false}>A tiny shop</Link>
        </header>
        <main>{children}</main>
      </body>
    </html>
  );
}
