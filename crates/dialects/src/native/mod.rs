//! Our own API at `/carillon/v1`: `Authorization: Bearer car_live_…`, unknown fields are errors, lists in pages, errors as
//! `{"error": {"code", "message", "field"?}}`. Conventions and quirks: `docs/api-design.md`.

mod agents;
mod calls;
mod campaigns;
mod clips;
mod converse;
mod deliveries;
mod do_not_call;
mod endpoints;
mod error;
mod forecast;
mod keys;
mod records;
mod request;
mod script;
mod trunks;
mod webhooks;
mod workspace;

pub use error::native_error;
pub(crate) use webhooks::{render_call_ended, signature_headers};

use crate::{DialectState, Problem};
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use error::ApiError;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi, OpenApiBuilder, ServerBuilder};
use utoipa_axum::router::OpenApiRouter;

const PREFIX: &str = "/carillon/v1";

/// Largest body of most routes.
const BODY_BYTES_MAX: usize = 16 << 20;

/// The reply to a problem outside of any handler.
pub(crate) fn problem_response(problem: Problem) -> Response {
    ApiError::from(problem).into_response()
}

/// Our routes, for `/carillon/v1` and everything below it.
pub(crate) fn router(state: DialectState) -> Router {
    let (routes, mut document) = documented().split_for_parts();
    document.servers = Some(vec![
        ServerBuilder::new().url(format!("{}{PREFIX}", state.base_url)).build(),
    ]);
    let routes = routes
        .route("/openapi.json", get(async move || Json(document)))
        .fallback(async || ApiError::unknown_path())
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state);
    Router::new().nest(PREFIX, routes)
}

/// The description of our API, as `/carillon/v1/openapi.json` serves it but for the address.
pub fn openapi() -> OpenApi {
    documented().split_for_parts().1
}

fn documented() -> OpenApiRouter<DialectState> {
    let info = InfoBuilder::new()
        .title("Carillon")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Agents, campaigns, records, calls and webhooks of one workspace."))
        .build();
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let mut components = Components::new();
    components.add_security_scheme("api_key", bearer);
    let document = OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new("api_key", Vec::<String>::new())]))
        .build();
    OpenApiRouter::with_openapi(document)
        .merge(agents::routes())
        .merge(campaigns::routes())
        .merge(forecast::routes())
        .merge(records::routes())
        .merge(calls::routes())
        .merge(clips::routes())
        .merge(do_not_call::routes())
        .merge(trunks::routes())
        .merge(endpoints::routes())
        .merge(deliveries::routes())
        .merge(keys::routes())
        .merge(workspace::routes())
}
