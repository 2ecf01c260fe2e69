// validatorUrl: by default a badge sends the document to a host on the internet.
SwaggerUIBundle({ url: "/schema/openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null });
