"""Ask a Spark session of this process, in local mode: `python spark_source.py REQUEST`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import msgspec
from pyspark.sql import SparkSession

from expci.store.warehouse.connection import connect
from expci.store.warehouse.query import ask
from expci.store.warehouse.request import SourceRequest

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.session.timeZone": "America/New_York",
}


def main() -> None:
    answer = os.dup(1)
    os.dup2(2, 1)
    request = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=SourceRequest)
    builder: Any = SparkSession.builder
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    session = builder.master("local[1]").getOrCreate()
    session.read.parquet(str(Path(request.root, "orders.parquet"))).createOrReplaceTempView(
        "orders"
    )
    url = "pyspark://"  # Ibis takes the session that there is
    answers = ask(connect(url, Path(request.root)), request, url)
    os.write(answer, msgspec.json.encode(answers))
    session.stop()


if __name__ == "__main__":
    main()
