//! The description of the JSON API: OpenAPI 3.1, whose schemas are made from the types that are answered.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::filter::RowFilter;
use super::{AppView, IncidentsView, Matrix, PolicyView, Sources, Timeline, Updates, Waits};

/// A path of the API.
#[derive(Debug)]
pub struct ApiPath {
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// What it answers, in a sentence.
    pub summary: &'static str,
    /// The name of the schema of its answer.
    pub schema: &'static str,
    /// Whether it takes the parameters of a filter.
    pub filtered: bool,
    /// Its own parameters in the query: name, what it is, whether it must be given.
    pub query: &'static [(&'static str, &'static str, bool)],
}

/// Every path.
pub const PATHS: [ApiPath; 8] = [
    ApiPath {
        path: "/api/v1/apps",
        summary: "The matrix: where every version is, in which state, and what comes next.",
        schema: "Matrix",
        filtered: true,
        query: &[],
    },
    ApiPath {
        path: "/api/v1/apps/{repository}/{app}",
        summary: "An app: each update with its ladder, what waits, what is open, what has happened.",
        schema: "AppView",
        filtered: false,
        query: &[],
    },
    ApiPath {
        path: "/api/v1/updates",
        summary: "How far every declared image has come: the rows of `landfall status -o json`.",
        schema: "Updates",
        filtered: true,
        query: &[],
    },
    ApiPath {
        path: "/api/v1/waiting",
        summary: "What waits, and for whom.",
        schema: "Waits",
        filtered: true,
        query: &[],
    },
    ApiPath {
        path: "/api/v1/incidents",
        summary: "The open incidents.",
        schema: "IncidentsView",
        filtered: true,
        query: &[],
    },
    ApiPath {
        path: "/api/v1/timeline",
        summary: "What has happened, newest first.",
        schema: "Timeline",
        filtered: true,
        query: &[],
    },
    ApiPath {
        path: "/api/v1/sources",
        summary: "Repositories, registries, clusters and webhooks, and when each last went well.",
        schema: "Sources",
        filtered: false,
        query: &[],
    },
    ApiPath {
        path: "/api/v1/policy",
        summary: "The policy in force for a file, and which line of which file says so.",
        schema: "PolicyView",
        filtered: false,
        query: &[
            ("repository", "The repository.", true),
            ("path", "The file, from the repository's root.", true),
            ("image", "The image.", false),
        ],
    },
];

/// An error, as the API answers it.
#[derive(Debug, serde::Serialize, JsonSchema)]
pub struct ApiError {
    /// What is wrong and what to do.
    pub error: String,
}

/// The description.
#[must_use]
pub fn openapi() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.contract = schemars::generate::Contract::Serialize;
    let mut generator = settings.into_generator();
    let _refs = [
        generator.subschema_for::<Matrix>(),
        generator.subschema_for::<AppView>(),
        generator.subschema_for::<Updates>(),
        generator.subschema_for::<Waits>(),
        generator.subschema_for::<IncidentsView>(),
        generator.subschema_for::<Timeline>(),
        generator.subschema_for::<Sources>(),
        generator.subschema_for::<PolicyView>(),
        generator.subschema_for::<ApiError>(),
    ];
    let filter = filter_parameters();
    let paths: Map<String, Value> = PATHS.iter().map(|path| (path.path.to_owned(), operation(path, &filter))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Landfall",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the bot knows: read only. Names and values are a contract; new ones may be added.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }, { "password": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "password": { "type": "http", "scheme": "basic" },
            },
        },
    })
}

fn operation(path: &ApiPath, filter: &[Value]) -> Value {
    let mut parameters: Vec<Value> = path
        .path
        .split(['{', '}'])
        .skip(1)
        .step_by(2)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    parameters.extend(path.query.iter().map(|(name, what, required)| {
        json!({ "name": name, "in": "query", "required": required, "description": what, "schema": { "type": "string" } })
    }));
    if path.filtered {
        parameters.extend_from_slice(filter);
    }
    let content = |schema: &str| json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } });
    let error = |what: &str| json!({ "description": what, "content": content("ApiError") });
    let id = path.path.trim_start_matches("/api/v1/").replace(['/', '{', '}'], " ");
    json!({ "get": {
        "operationId": id.split_whitespace().collect::<Vec<_>>().join("-"),
        "summary": path.summary,
        "parameters": parameters,
        "responses": {
            "200": { "description": path.summary, "content": content(path.schema) },
            "400": error("A parameter cannot be read."),
            "401": error("Neither the token nor a trusted proxy's header came with the request."),
            "404": error("There is no such thing."),
            "503": error("The bot is starting, or there are too many requests at once."),
        },
    }})
}

/// The parameters of a filter, from its own schema.
fn filter_parameters() -> Vec<Value> {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<RowFilter>().to_value();
    let properties = schema.get("properties").and_then(Value::as_object);
    let parameter = |(name, it): (&String, &Value)| {
        let what = it.get("description").cloned().unwrap_or_default();
        json!({ "name": name, "in": "query", "required": false, "description": what, "schema": { "type": "string" } })
    };
    properties.into_iter().flatten().map(parameter).collect()
}
