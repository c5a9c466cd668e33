import type { Point, Tone } from "@/lib/figures";
import { cn } from "@/lib/utils";

const WIDTH = 300;

const COLOURS: Record<Tone, string> = {
  calm: "text-brand",
  warning: "text-warning",
  critical: "text-destructive",
};

interface SparklineProps {
  /** Lines that are not joined, from the oldest to the newest. */
  lines: Point[][];
  tone?: Tone;
  height?: number;
  className?: string;
}

/** A small chart without axes. What it shows is said in words beside it, so it is hidden from readers. */
export function Sparkline({ lines, tone = "calm", height = 28, className }: SparklineProps) {
  const at = ({ x, y }: Point): string => `${(x * WIDTH).toFixed(1)},${(1 + (1 - y) * (height - 2)).toFixed(1)}`;
  return (
    <svg
      aria-hidden="true"
      viewBox={`0 0 ${WIDTH} ${height}`}
      preserveAspectRatio="none"
      style={{ height }}
      className={cn("block w-full overflow-visible", COLOURS[tone], className)}
    >
      <line x1={0} x2={WIDTH} y1={height - 0.5} y2={height - 0.5} className="stroke-border" vectorEffect="non-scaling-stroke" />
      {lines.map((line) => {
        const [first, last] = [line[0], line.at(-1)];
        if (first === undefined || last === undefined) return null;
        const left = (first.x * WIDTH).toFixed(1);
        if (line.length === 1) {
          return <circle key={left} cx={left} cy={at(first).split(",")[1]} r={1.5} fill="currentColor" />;
        }
        const path = `M${line.map(at).join("L")}`;
        return (
          <g key={left}>
            <path d={`${path}V${height}H${left}Z`} fill="currentColor" opacity={0.12} />
            <path
              d={path}
              fill="none"
              stroke="currentColor"
              strokeWidth={1.5}
              strokeLinejoin="round"
              strokeLinecap="round"
              vectorEffect="non-scaling-stroke"
            />
          </g>
        );
      })}
    </svg>
  );
}
