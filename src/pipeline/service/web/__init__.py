"""The HTTP side of the service: endpoints, pages, OpenAPI document and connections."""
