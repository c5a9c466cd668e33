/** This many entries at most arrive with each page. */
const PAGE_SIZE = 100;

/** What asks for one page: from a cursor on, or from the start. */
export interface PageQuery {
  limit: number;
  cursor?: string;
}

/** One page, and where the next begins when there is one. */
export interface Page<Item> {
  items: readonly Item[];
  next?: string | null;
}

/** Follows a list from page to page until its end. */
export async function everyPage<Item>(read: (query: PageQuery) => Promise<Page<Item>>): Promise<Item[]> {
  const found: Item[] = [];
  const used = new Set<string>();
  let query: PageQuery = { limit: PAGE_SIZE };
  for (;;) {
    const page = await read(query);
    found.push(...page.items);
    const cursor = page.next ?? "";
    // A server that repeats itself must not keep the page asking for ever.
    if (cursor === "" || used.has(cursor)) return found;
    used.add(cursor);
    query = { limit: PAGE_SIZE, cursor };
  }
}
