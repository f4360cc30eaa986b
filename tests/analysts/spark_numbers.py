"""Run by PySpark's own Python: `spark_numbers.py JAR`, with tables and queries as JSON on standard input.

Each table is opened by its newest metadata file, as any reader of Iceberg would without the catalog.
"""

import json
import sys
import time

from pyspark.sql import SparkSession

asked = json.load(sys.stdin)
began = time.monotonic()
spark = (
    SparkSession.builder.master("local[2]")
    .appName("lectern-lake")
    .config("spark.jars", sys.argv[1])
    .config("spark.ui.enabled", "false")
    .config("spark.driver.memory", "1g")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.sql.warehouse.dir", asked["scratch"])
    .getOrCreate()
)
started = time.monotonic()
for name, metadata in asked["tables"].items():
    spark.read.format("iceberg").load(metadata).createOrReplaceTempView(name)
rows = {}
for name, query in asked["queries"].items():
    rows[name] = [[None if v is None else str(v) for v in row] for row in spark.sql(query).collect()]
ended = time.monotonic()
spark.stop()
print("\n" + json.dumps({"rows": rows, "start": started - began, "asking": ended - started}))
