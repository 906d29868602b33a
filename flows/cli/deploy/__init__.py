"""Set up a Prefect server from prefect.yaml: pools, block types, automations, deployments."""
