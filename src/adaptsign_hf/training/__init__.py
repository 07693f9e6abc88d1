"""Training: one YAML file a run, `accelerate launch train.py --config configs/quickstart.yaml`."""
