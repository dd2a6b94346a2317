// Without validatorUrl: null, Swagger UI would send the document's address to a server of its makers.
window.SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
