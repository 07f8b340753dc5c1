//! `/v2/assets` (facts 4.2).
//!
//! Always: inactive assets are listed unless `status=active` is asked for; deprecated members are sent beside the new
//! ones, because the official SDK still requires them.

use serde::Serialize;

use crate::exchange::asset::{Asset, AssetFilter};
use crate::http::reply::{Refusal, Reply};
use crate::http::routes::{Answer, Call, only_get, parsed};
use crate::http::wire::Text;
use crate::http::world::World;

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the shape is Alpaca's")]
struct AssetShape<'a> {
    id: &'a str,
    class: &'static str,
    exchange: &'static str,
    symbol: &'a str,
    name: &'a str,
    status: &'static str,
    tradable: bool,
    marginable: bool,
    maintenance_margin_requirement: u8,
    margin_requirement_long: Text,
    margin_requirement_short: Text,
    shortable: bool,
    easy_to_borrow: bool,
    borrow_status: &'static str,
    fractionable: bool,
    attributes: &'static [&'static str],
}

impl<'a> From<&'a Asset> for AssetShape<'a> {
    fn from(asset: &'a Asset) -> Self {
        let long = asset.margin_requirement_long;
        Self {
            id: &asset.id,
            class: "us_equity",
            exchange: asset.exchange,
            symbol: &asset.symbol,
            name: &asset.name,
            status: if asset.active { "active" } else { "inactive" },
            tradable: asset.tradable,
            marginable: asset.marginable,
            maintenance_margin_requirement: u8::try_from(long.round()).unwrap_or(100),
            margin_requirement_long: Text(long),
            margin_requirement_short: Text(asset.margin_requirement_short),
            shortable: asset.shortable,
            easy_to_borrow: asset.shortable,
            borrow_status: if asset.shortable { "easy_to_borrow" } else { "hard_to_borrow" },
            fractionable: asset.fractionable,
            attributes: &[],
        }
    }
}

/// `GET /v2/assets`.
pub(super) fn all(world: &mut World, call: &Call<'_>) -> Answer {
    only_get(call)?;
    let query = call.inbound.query();
    let active = parsed(query.get("status"), "status", |text| match text {
        "active" => Some(Some(true)),
        "inactive" => Some(Some(false)),
        "all" => Some(None),
        _ => None,
    })?;
    let other_class = query.get("asset_class").is_some_and(|class| class != "us_equity");
    let wants_attributes = query.get("attributes").is_some();
    if other_class || wants_attributes {
        // Only plain shares are traded here, and none of them carries an attribute.
        return Ok(Reply::json::<[(); 0]>(&[]));
    }
    let filter = AssetFilter { active: active.flatten(), exchange: query.get("exchange").map(str::to_owned) };
    let assets = world.exchange.assets(&filter);
    Ok(Reply::json(&assets.iter().map(AssetShape::from).collect::<Vec<_>>()))
}

/// `GET /v2/assets/{symbol_or_asset_id}`.
pub(super) fn one(world: &mut World, symbol: &str, call: &Call<'_>) -> Answer {
    only_get(call)?;
    let asset = world.exchange.asset(symbol).map_err(Refusal::from)?;
    Ok(Reply::json(&AssetShape::from(&asset)))
}

/// The asset as the control side shows it.
pub(crate) fn shape(asset: &Asset) -> serde_json::Value {
    let mut value = serde_json::to_value(AssetShape::from(asset)).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.insert("halted".to_owned(), asset.halted.into());
    }
    value
}
