"""Write src/pipeline/store/schema.sql, the schema that the installed MLflow's migrations make."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))


def main() -> None:
    """Let MLflow create and migrate a database, and write its schema."""
    from pipeline.store.mlflow_library import import_mlflow
    from pipeline.store.schema import SCHEMA, dump

    import_mlflow()
    import mlflow
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with tempfile.TemporaryDirectory() as name:
        database = Path(name) / "mlflow.db"
        SqlAlchemyStore(f"sqlite:///{database}", name).engine.dispose()
        SCHEMA.write_text(dump(database, mlflow.__version__), encoding="utf-8")


if __name__ == "__main__":
    main()
