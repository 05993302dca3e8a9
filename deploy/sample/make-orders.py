#!/usr/bin/env python3
"""Writes the sample orders beside this file, the same ones every time.

orders.jsonl    1,200 orders, as a shop that works has them: most are fine, some are test orders (filtered), some break
                a rule or name a customer that the CRM does not know (dead letters).
drifted.jsonl   60 orders of a producer whose status has turned numeric; see drifted.avsc.
"""

import json
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

HERE = Path(__file__).parent
STATUSES = ["Placed", "Paid", "Shipped", "Cancelled"]
NOTES = ["leave at the door", "ring twice", "gift, no invoice please"]
START = datetime(2026, 1, 5, 6, 0, tzinfo=timezone.utc)


def order(rng, number, at):
    customer = rng.randrange(500)
    return {
        "order_id": f"o-{number:06}",
        "customer_id": f"C-{customer:04}",
        "status": rng.choice(STATUSES),
        "quantity": rng.randint(1, 12),
        "amount": f"{rng.randint(199, 49999) / 100:.2f}",
        "currency": rng.choices(["EUR", "USD", "GBP"], [70, 20, 10])[0],
        "email": None if rng.random() < 0.1 else f"customer{customer}@example.com",
        "note": rng.choice(NOTES) if rng.random() < 0.2 else None,
        "updated_at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def write(name, rows):
    with open(HERE / name, "w", encoding="utf-8", newline="\n") as out:
        for row in rows:
            out.write(json.dumps(row, separators=(",", ":")) + "\n")


def main():
    rng = random.Random(20260105)
    at = START
    rows = []
    for number in range(1, 1201):
        at += timedelta(milliseconds=rng.randint(500, 40_000))
        row = order(rng, number, at)
        # By number and not by chance, so that the figures are known.
        if number % 50 == 7:
            row["currency"] = "TEST"
        elif number % 120 == 13:
            row["currency"] = "EURO"
        elif number % 150 == 29:
            row["amount"] = "0.00"
        elif number % 200 == 31:
            row["quantity"] = 0
        elif number % 300 == 41:
            row["customer_id"] = "C-9999"
        elif number % 400 == 43:
            row["note"] = "please " * 40
        rows.append(row)
    write("orders.jsonl", rows)

    drifted = []
    for number in range(900_001, 900_061):
        at += timedelta(milliseconds=rng.randint(500, 40_000))
        row = order(rng, number, at)
        row["status"] = STATUSES.index(row["status"])
        drifted.append(row)
    write("drifted.jsonl", drifted)


if __name__ == "__main__":
    main()
