"""ratios.py KERNEL: reads what bench.sh printed, and prints a table with the ratios to IPVS beside those that are to be
kept. They hold for UDP on Linux 6.12; status 1 where one is missed."""

import sys

TARGETS = {("established", "dr"): 0.68, ("established", "tun"): 0.75, ("new", "dr"): 0.70, ("new", "tun"): 0.70}


def main():
    kernel = sys.argv[1]
    cost, missed = {}, False
    for line in sys.stdin:
        words = line.split()
        if len(words) == 4 and words[3].isdigit():
            cost[tuple(words[:3])] = int(words[3])
        else:
            print(line.rstrip())
            missed = True
    print(f"\ninstructions per packet, Linux {kernel}\n")
    print("| packets | method | IPVS | wvs | wvs / IPVS | at most |")
    print("|---|---|---:|---:|---:|---:|")
    for kind in ("established", "new"):
        for protocol in ("udp", "tcp"):
            for method in ("dr", "tun"):
                ipvs, wvs = (cost.get((kind, protocol, f"{who}-{method}")) for who in ("ipvs", "wvs"))
                if not ipvs or not wvs:
                    print(f"| {kind} {protocol} | {method} | {ipvs} | {wvs} | | |")
                    missed = True
                    continue
                bound = TARGETS[kind, method] if kernel.startswith("6.12") and protocol == "udp" else None
                missed |= bound is not None and wvs > bound * ipvs
                told = f"{bound:.2f}" if bound else ""
                print(f"| {kind} {protocol} | {method} | {ipvs} | {wvs} | {wvs / ipvs:.3f} | {told} |")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
