"""Rewraps every row of a sealed table to a new recipient list, in Spark.

    spark-submit rewrap.py TABLE FROM TO KEYS RECIPIENTS

TABLE is the table's name in the rows' contexts; FROM and TO are Parquet; KEYS is the folder of a FileStore that has the identity `old`, whose key is
in KEYS_KEY; RECIPIENTS is a file with the complete new list, one to a line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import Accumulator
from pyspark.sql import SparkSession
from pyspark.sql.types import StringType, StructType

from sealwire import FileStore, Identity, Recipient, SealContext, SealwireError, SymmetricKey, rewrap_header

#: What a rewrap reads of a body: its head, which is checked against the key and the context.
BODY_FRONT = 56


def context_of(table: str, id: int) -> SealContext:
    """What a row is for. Bound, and in no column: a row that was put in another's place does not open."""
    return SealContext("rows", table, id)


def rewrapping(
    table: str, keys: str, to: list[Recipient], spent: Accumulator[float]
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What `mapInArrow` runs, once for each partition. It adds the seconds of processor that it took to `spent`."""

    def rewrap(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        started = time.process_time()
        # On the executor: an identity cannot be pickled, and so does not travel with the job.
        store = FileStore(keys, key=SymmetricKey.from_bytes(bytes.fromhex(os.environ["KEYS_KEY"])))
        identity = Identity.load(store, "old")
        if identity is None:
            raise RuntimeError("the identity `old` is not in the store")
        with identity:
            for batch in batches:
                headers, failures = [], []
                fronts = pc.binary_slice(batch["body"], 0, BODY_FRONT)
                for id, header, front in zip(batch["id"].to_pylist(), batch["header"].to_pylist(), fronts.to_pylist(), strict=True):
                    failure = None
                    try:
                        header = rewrap_header(header, front, identity, context_of(table, id), to)
                    except SealwireError as error:
                        failure = error.code
                    headers.append(header)
                    failures.append(failure)
                arrays = [batch["id"], pa.array(headers, pa.binary()), batch["body"], pa.array(failures, pa.string())]
                yield pa.RecordBatch.from_arrays(arrays, names=["id", "header", "body", "failure"])
        spent.add(time.process_time() - started)

    return rewrap


def main(table: str, source: str, target: str, keys: str, recipients: str) -> int:
    to = [Recipient.parse(line) for line in Path(recipients).read_text().split()]
    started = time.monotonic()
    spark = SparkSession.builder.appName("rewrap").getOrCreate()
    start = time.monotonic() - started
    cores, spent = spark.sparkContext.defaultParallelism, spark.sparkContext.accumulator(0.0)
    rows = spark.read.parquet(source).select("id", "header", "body")
    schema = StructType([*rows.schema.fields]).add("failure", StringType())
    rows.mapInArrow(rewrapping(table, keys, to, spent), schema).write.mode("overwrite").parquet(target)
    seconds = time.monotonic() - started - start
    written = spark.read.parquet(target)
    count, failed = written.count(), written.where("failure is not null").count()
    said = {
        "rows": count,
        "failed": failed,
        "start_seconds": round(start, 1),
        "seconds": round(seconds, 1),
        "cores": cores,
        "rows_per_second_per_core": round(count / seconds / cores),
        "python_seconds": round(spent.value, 1),
        "rows_per_python_second": round(count / spent.value) if spent.value > 0 else 0,
    }
    print(json.dumps(said), flush=True)
    spark.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
