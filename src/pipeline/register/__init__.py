"""Stage 3, model_register: register the winning run as a model version, and export it for Production."""
