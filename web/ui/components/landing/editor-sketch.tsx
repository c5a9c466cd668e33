/** Widths of the sketched code's words, by line: indentation first. */
const CODE: readonly (readonly [number, ...(readonly [number, string])[]])[] = [
  [0, [46, "fill-brand"], [74, "fill-foreground/55"], [30, "fill-muted-foreground/40"]],
  [22, [34, "fill-brand-bright"], [88, "fill-foreground/40"]],
  [22, [58, "fill-foreground/55"], [22, "fill-muted-foreground/40"], [66, "fill-success/70"]],
  [44, [40, "fill-brand"], [52, "fill-foreground/40"], [36, "fill-foreground/40"]],
  [44, [96, "fill-muted-foreground/40"]],
  [22, [28, "fill-foreground/40"]],
  [0],
  [0, [52, "fill-brand"], [60, "fill-foreground/55"]],
  [22, [70, "fill-success/70"], [44, "fill-foreground/40"]],
  [22, [34, "fill-brand-bright"], [50, "fill-foreground/40"], [26, "fill-muted-foreground/40"]],
];

const FILES: readonly (readonly [number, number])[] = [
  [0, 54],
  [12, 70],
  [12, 46],
  [12, 62],
  [0, 40],
  [0, 66],
];

/** A workspace, drawn: the editor in a browser window. Decoration only. */
export function EditorSketch({ className }: { className?: string }) {
  return (
    <div aria-hidden="true" className={className}>
      <div className="overflow-hidden rounded-xl border bg-card shadow-float">
        <div className="flex h-10 items-center gap-3 border-b bg-muted/60 px-4">
          <span className="flex gap-1.5">
            <span className="size-2.5 rounded-full bg-border" />
            <span className="size-2.5 rounded-full bg-border" />
            <span className="size-2.5 rounded-full bg-border" />
          </span>
          <span className="mx-auto truncate rounded-md border bg-card px-3 py-0.5 font-mono text-[0.6875rem] text-muted-foreground">
            your-workspace.your-domain
          </span>
          <span className="w-9" />
        </div>
        <svg viewBox="0 0 520 330" className="block w-full" fill="none">
          <path d="M128 0v330" className="stroke-border" />
          {FILES.map(([indent, width], index) => (
            <g key={index}>
              {index === 2 && <rect x="8" y="65" width="112" height="22" rx="5" className="fill-accent" />}
              <rect x={20 + indent} y={20 + index * 26} width={width} height="7" rx="3.5" className={index === 2 ? "fill-foreground/60" : "fill-muted-foreground/35"} />
            </g>
          ))}
          {CODE.map(([indent, ...words], line) => {
            let x = 176 + indent;
            return (
              <g key={line}>
                <rect x="150" y={20 + line * 20} width="9" height="6" rx="3" className="fill-muted-foreground/25" />
                {words.map(([width, tone], word) => {
                  const at = x;
                  x += width + 9;
                  return <rect key={word} x={at} y={19 + line * 20} width={width} height="8" rx="4" className={tone} />;
                })}
              </g>
            );
          })}
          <rect x="128" y="234" width="392" height="96" className="fill-console" />
          <path d="M128 234h392" className="stroke-border" />
          <g className="font-mono text-[11px]">
            <text x="150" y="262" className="fill-console-foreground">
              <tspan className="fill-brand">workspace $</tspan> make test
            </text>
            <text x="150" y="283" className="fill-success">
              42 passed
            </text>
            <text x="150" y="304" className="fill-brand">
              workspace $
            </text>
          </g>
          <rect x="233" y="295" width="6" height="12" rx="1" className="animate-breathe fill-brand-bright" />
        </svg>
      </div>
    </div>
  );
}
