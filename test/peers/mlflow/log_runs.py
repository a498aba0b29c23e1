"""Logs runs with MLflow's own client and prints their ids as JSON.

usage: log_runs.py TRACKING_URI
"""

import json
import math
import sys

import mlflow

mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("churn")

with mlflow.start_run(run_name="full", tags={"team": "risk-ml", "modelwarden.action": "k@model/ws/churn/12"}) as full:
    mlflow.log_params({"depth": 6, "learning rate": "0.1", "data": "azureml:churn-data:7"})
    for step, value in enumerate([0.5, 0.7, 0.92]):
        mlflow.log_metric("accuracy", value, step=step)
    # Steps that arrive late: the newest is the one with the highest step.
    mlflow.log_metric("loss", 0.1, step=9)
    mlflow.log_metric("loss", 0.4, step=3)
    mlflow.log_metrics({
        "age/PopulationStabilityIndex": 0.35,
        "nothing": math.nan,
        "most": math.inf,
        "least": -math.inf,
        "tiny": 5e-324,
        "negative": -1.5,
        "whole": 7,
    })

with mlflow.start_run(run_name="empty") as empty:
    pass

try:
    with mlflow.start_run(run_name="failed") as failed:
        raise ValueError("column age is missing")
except ValueError:
    pass

with mlflow.start_run(run_name="many") as many:
    mlflow.log_metrics({f"feature_{i:04d}/PopulationStabilityIndex": i / 1000 for i in range(900)})

open_run = mlflow.MlflowClient().create_run(full.info.experiment_id, run_name="open")

print(json.dumps({
    "full": full.info.run_id,
    "empty": empty.info.run_id,
    "failed": failed.info.run_id,
    "many": many.info.run_id,
    "open": open_run.info.run_id,
}))
