"""The error classes that end a command, from the module that defines them."""

import inspect

from reference_pages.markdown import code, prose, table


def error_classes() -> str:
    """Return a table of the classes: base class, exit code, the first word of the message, meaning."""
    from pipeline import errors

    classes = [
        found
        for _, found in inspect.getmembers(errors, inspect.isclass)
        if issubclass(found, errors.PipelineError) and found.__module__ == errors.__name__
    ]
    rows = [
        (
            code(found.__name__),
            code(found.__base__.__name__) if found.__base__ else "",
            str(found.exit_code),
            code(f"{found.label}:"),
            prose((inspect.getdoc(found) or "").split("\n\n")[0]),
        )
        for found in sorted(classes, key=lambda found: (len(found.__mro__), found.__name__))
    ]
    return table(("Class", "Base class", "Exit code", "Message starts with", "Meaning"), rows)
