//! Vehicle positions of GTFS-realtime, and the common types of Google's APIs: places coarsened, people left out.

use serde_json::json;
use twinveil::veil::schema::{LoadFault, load};
use twinveil::veil::terms::{Generalizer, Treatment};

use super::{Foreign, holds, published};

const GTFS: &str = r#"
["transit_realtime.FeedMessage"]
header = { sensitivity = "public", category = "operation" }
'entity.trip_update' = { sensitivity = "operational", category = "operation", floor = "strip" }
'entity.alert' = { sensitivity = "public", category = "operation" }
'entity.shape' = { sensitivity = "public", category = "site" }
'entity.stop' = { sensitivity = "public", category = "site" }
'entity.trip_modifications' = { sensitivity = "operational", category = "operation", floor = "strip" }
["transit_realtime.FeedEntity"]
id = { sensitivity = "public", category = "operation" }
is_deleted = { sensitivity = "public", category = "operation" }
["transit_realtime.VehiclePosition"]
trip = { sensitivity = "public", category = "operation" }
'vehicle.id' = { sensitivity = "operational", category = "device", floor = "pseudonymize" }
'vehicle.label' = { sensitivity = "operational", category = "device", floor = "strip" }
'vehicle.license_plate' = { sensitivity = "identifying", category = "device", floor = "strip" }
'vehicle.wheelchair_accessible' = { sensitivity = "public", category = "operation" }
current_stop_sequence = { sensitivity = "operational", category = "operation" }
stop_id = { sensitivity = "public", category = "site" }
current_status = { sensitivity = "public", category = "operation" }
timestamp = { sensitivity = "operational", category = "time", generalize = { time_bucket = "1min", unit = "s" } }
congestion_level = { sensitivity = "public", category = "operation" }
occupancy_status = { sensitivity = "operational", category = "demand" }
occupancy_percentage = { sensitivity = "operational", category = "demand" }
multi_carriage_details = { sensitivity = "operational", category = "demand", floor = "strip" }
["transit_realtime.Position"]
latitude = { sensitivity = "public", category = "location", generalize = { place = { h3_resolution = 6, axis = "latitude" } } }
longitude = { sensitivity = "public", category = "location", generalize = { place = { h3_resolution = 6, axis = "longitude" } } }
bearing = { sensitivity = "operational", category = "operation", floor = "strip" }
odometer = { sensitivity = "operational", category = "operation", floor = "strip" }
speed = { sensitivity = "operational", category = "operator_conduct", floor = "strip" }
"#;

#[test]
fn a_vehicle_position_keeps_its_required_fields_and_loses_its_place() {
    let (Some(set), Some(frame)) = (published("gtfs-realtime/descriptor.binpb"), published("gtfs-realtime/vehicle_position.pb")) else {
        return;
    };
    let feed = Foreign::new(&set, "transit_realtime.FeedMessage", GTFS);
    let before = feed.decode(&frame);
    let bytes = feed.veil(&frame, |site| match site.facts.generalize {
        Some(Generalizer::Place { .. }) => Treatment::Generalize,
        _ => site.facts.floor,
    });
    let after = feed.decode(&bytes);
    let (was, is) = (&before["entity"][0]["vehicle"], &after["entity"][0]["vehicle"]);
    assert_eq!((&after["header"], &after["entity"][0]["id"], &is["trip"]), (&before["header"], &before["entity"][0]["id"], &was["trip"]));
    for axis in ["latitude", "longitude"] {
        let (exact, coarse) = (was["position"][axis].as_f64().unwrap(), is["position"][axis].as_f64().unwrap());
        // Cells of this resolution have edges of some 3 km.
        assert!(exact != coarse && (exact - coarse).abs() < 0.1, "{axis}: {exact} {coarse}");
    }
    assert!(is["vehicle"]["id"] != was["vehicle"]["id"] && is["vehicle"]["id"].as_str().unwrap().len() == 26);
    // Every point of a cell looks the same.
    let near = feed.encode(&json!({"header": before["header"], "entity": [{"id": "1", "vehicle": {"position": {"latitude": 47.0001, "longitude": -122.0001}}}]}));
    let near =
        feed.decode(&feed.veil(&near, |site| if site.facts.generalize.is_some() { Treatment::Generalize } else { site.facts.floor }));
    assert_eq!(near["entity"][0]["vehicle"]["position"], is["position"]);
}

const GOOGLE: &str = r#"
["google.type.LatLng"]
latitude = { sensitivity = "personal", category = "location", floor = "generalize", generalize = { place = { h3_resolution = 7, axis = "latitude" } } }
longitude = { sensitivity = "personal", category = "location", floor = "generalize", generalize = { place = { h3_resolution = 7, axis = "longitude" } } }
["google.type.PostalAddress"]
revision = { sensitivity = "public", category = "operation" }
region_code = { sensitivity = "personal", category = "location" }
language_code = { sensitivity = "personal", category = "social" }
postal_code = { sensitivity = "personal", category = "location", floor = "generalize", generalize = { prefix_chars = 2 } }
sorting_code = { sensitivity = "personal", category = "location", floor = "strip" }
administrative_area = { sensitivity = "personal", category = "location" }
locality = { sensitivity = "personal", category = "location", floor = "strip" }
sublocality = { sensitivity = "personal", category = "location", floor = "strip" }
address_lines = { sensitivity = "identifying", category = "contact", floor = "strip" }
recipients = { sensitivity = "identifying", category = "identity", floor = "pseudonymize" }
organization = { sensitivity = "identifying", category = "identity", floor = "strip" }
["google.type.PhoneNumber"]
e164_number = { sensitivity = "identifying", category = "contact", floor = "pseudonymize" }
short_code = { sensitivity = "identifying", category = "contact", floor = "strip" }
extension = { sensitivity = "identifying", category = "contact", floor = "strip" }
"#;

#[test]
fn addresses_numbers_and_points_of_googles_types_are_coarsened_or_replaced() {
    let Some(set) = published("googleapis-common/descriptor.binpb") else { return };
    let address = Foreign::new(&set, "google.type.PostalAddress", GOOGLE);
    let bytes = address.floors(&address.encode(&json!({"revision": 1, "regionCode": "AT", "languageCode": "de", "postalCode": "1090",
        "administrativeArea": "Wien", "locality": "canary", "addressLines": ["canary 1", "canary 2"], "recipients": ["canary a", "canary b"]})));
    assert!(!holds(&bytes, "canary"));
    let out = address.decode(&bytes);
    assert_eq!((&out["postalCode"], &out["regionCode"], &out["addressLines"]), (&json!("10"), &json!("AT"), &json!(null)));
    assert_eq!(out["recipients"].as_array().unwrap().len(), 2);

    let point = Foreign::new(&set, "google.type.LatLng", GOOGLE);
    let out = point.decode(&point.floors(&point.encode(&json!({"latitude": 48.2082, "longitude": 16.3738}))));
    let (latitude, longitude) = (out["latitude"].as_f64().unwrap(), out["longitude"].as_f64().unwrap());
    assert!(latitude != 48.2082 && (latitude - 48.2082).abs() < 0.03 && (longitude - 16.3738).abs() < 0.03, "{out}");

    let phone = Foreign::new(&set, "google.type.PhoneNumber", GOOGLE);
    let bytes = phone.floors(&phone.encode(&json!({"e164Number": "+431234567", "extension": "42"})));
    assert!(!holds(&bytes, "431234567") && phone.decode(&bytes)["e164Number"].as_str().unwrap().len() == 26);
    assert_eq!(phone.decode(&bytes)["extension"], json!(null));

    // A line for a message that the set does not have is a mistake, not a line for later.
    let error = load(
        &set,
        "google.type.LatLng",
        Some(&format!("{GOOGLE}[\"google.type.LatLong\"]\nlatitude = {{ sensitivity = \"public\", category = \"site\" }}")),
    );
    assert_eq!(error.expect_err("no such message").fault, LoadFault::UnknownName);
}
