// validatorUrl: null keeps Swagger UI from sending the document's address to its public validator.
window.SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
