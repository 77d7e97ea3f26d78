//! The page in a real browser: headless Chromium at the width of a phone and of a desk, in light and in dark. A page of the test's own
//! holds the report in a frame of that width and measures what the browser made of it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::made;
use crate::harness::Folder;
use crate::strangers::program;

/// Letters smaller than this are not read with ease on a phone.
const LETTERS_PX_MIN: f64 = 12.9;
/// WCAG 2.2, 1.4.3, for letters of usual size.
const CONTRAST_MIN: f64 = 4.5;

/// Loads the page in a frame and writes down what it finds.
const MEASURE: &str = r##"<!doctype html><meta charset="utf-8"><body><iframe id="f" style="border:0;width:@WIDTH@px;height:900px" src="report.html"></iframe>
<script>
const frame = document.getElementById('f');
frame.onload = () => {
  const page = frame.contentDocument, view = frame.contentWindow, found = {overflow: [], small: [], pale: []};
  const colour = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return {r, g, b, a}; };
  const light = ({r, g, b}) => { const [x, y, z] = [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
  const ground = (element) => { for (; element; element = element.parentElement) { const c = colour(view.getComputedStyle(element).backgroundColor); if (c.a > 0.99) return c; } return {r: 255, g: 255, b: 255}; };
  for (const element of page.body.querySelectorAll('*')) {
    const style = view.getComputedStyle(element), box = element.getBoundingClientRect();
    if (style.display === 'none' || style.clipPath !== 'none' || element.closest('caption, figcaption, thead, .skip') && box.width <= 1) continue;
    if (box.width > 1 && (box.right > @WIDTH@ + 0.5 || box.left < -0.5) && !element.closest('.skip')) found.overflow.push(element.tagName + '.' + element.className);
    const words = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!words || box.width <= 1) continue;
    const px = parseFloat(style.fontSize), ratio = (a => (Math.max(...a) + 0.05) / (Math.min(...a) + 0.05))([light(colour(style.color)), light(ground(element))]);
    found.least = Math.min(found.least ?? 99, px);
    if (px < @LETTERS@) found.small.push(px + ' ' + element.textContent.slice(0, 30));
    if (ratio < @CONTRAST@) found.pale.push(ratio.toFixed(2) + ' ' + element.textContent.slice(0, 30));
  }
  found.wide = page.documentElement.scrollWidth; found.high = page.documentElement.scrollHeight;
  found.title = page.title; found.lang = page.documentElement.lang; found.scheme = view.matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  found.fetched = view.performance.getEntriesByType('resource').map(entry => entry.name);
  found.heads = [...page.querySelectorAll('h1, h2, h3, h4')].map(head => Number(head.tagName[1]));
  found.figures = page.querySelectorAll('figure').length;
  found.tables = [...page.querySelectorAll('figure')].filter(figure => figure.parentElement.querySelector('table caption')).length;
  found.unscoped = page.querySelectorAll('th:not([scope])').length;
  found.dead = [...page.querySelectorAll('a[href^="#"]')].filter(link => !page.getElementById(link.hash.slice(1))).map(link => link.hash);
  found.ids = [...page.querySelectorAll('[id]')].map(element => element.id).filter((id, at, all) => all.indexOf(id) !== at);
  const risk = page.getElementById('risk'), refusals = page.getElementById('refusals');
  found.risk = {tables: [...risk.querySelectorAll('table caption')].map(caption => caption.textContent), rows: risk.querySelectorAll('tbody tr').length, seen: risk.getBoundingClientRect().height > 200};
  found.refusals = {rows: refusals.querySelectorAll('tbody tr').length, seen: refusals.getBoundingClientRect().height > 100};
  found.styled = view.getComputedStyle(page.querySelector('.tiles')).display;
  const out = document.createElement('pre'); out.id = 'found'; out.textContent = 'FOUND' + JSON.stringify(found) + 'END'; document.body.append(out);
};
</script>"##;

/// What a browser finds in a page at a width; none where there is no browser.
fn measured(html: &str, width: u32, dark: bool) -> Option<(Value, Vec<String>)> {
    let mut browser = program("chromium")?;
    let folder = Folder::new();
    fs::write(folder.join("report.html"), html).unwrap();
    let measure = MEASURE.replace("@WIDTH@", &width.to_string());
    let measure = measure.replace("@LETTERS@", &LETTERS_PX_MIN.to_string()).replace("@CONTRAST@", &CONTRAST_MIN.to_string());
    fs::write(folder.join("measure.html"), measure).unwrap();
    let (profile, net) = (folder.join("profile"), folder.join("net.json"));
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]);
    browser.args([
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--allow-file-access-from-files",
    ]);
    browser.args(["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000", "--dump-dom"]);
    browser.arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)));
    browser.arg(format!("--user-data-dir={}", profile.display())).arg(format!("--log-net-log={}", net.display()));
    browser.arg(format!("--window-size={},1000", width.max(600) + 40)).arg(format!("file://{}", folder.join("measure.html").display()));
    let output = browser.output().unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = dom
        .split("FOUND")
        .last()
        .and_then(|rest| rest.split("END").next())
        .map(|json| json.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"));
    let found = json.and_then(|json| serde_json::from_str(&json).ok());
    let found = found.unwrap_or_else(|| panic!("nothing was measured: {}\n{}", dom.len(), String::from_utf8_lossy(&output.stderr)));
    Some((found, asked_of_the_network(&net)))
}

/// Every address of another machine that was asked for, but for those that this browser asks for by itself at every start.
fn asked_of_the_network(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    assert!(text.contains("\"constants\"") && text.contains("\"events\""), "the log of the network is kept");
    let own = |url: &str| {
        let host = url.split('/').nth(2).unwrap_or_default();
        host.ends_with(".google.com") || host.ends_with(".googleapis.com")
    };
    let urls = text.split("\"url\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    urls.filter(|url| (url.starts_with("http") || url.starts_with("ws")) && !own(url)).map(str::to_owned).collect()
}

fn list<'f>(found: &'f Value, name: &str) -> &'f Vec<Value> {
    found[name].as_array().unwrap()
}

#[test]
fn the_page_reads_well_on_a_phone_and_on_a_desk_in_light_and_dark_and_asks_nobody_for_anything() {
    let (_desk, out) = made();
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    for (width, dark) in [(390, false), (390, true), (1280, false), (1280, true)] {
        let Some((found, asked)) = measured(&html, width, dark) else { return };
        let at = format!("at {width} px, dark {dark}: {found}");
        assert_eq!(found["scheme"], if dark { "dark" } else { "light" }, "{at}");
        assert_eq!(found["styled"], "grid", "its own policy lets its own style in: {at}");
        assert!(list(&found, "overflow").is_empty() && found["wide"].as_u64().unwrap() <= u64::from(width), "{at}");
        assert!(list(&found, "small").is_empty() && list(&found, "pale").is_empty(), "{at}");
        assert!(list(&found, "fetched").is_empty() && asked.is_empty(), "{asked:?}, {at}");
        assert!(found["title"].as_str().unwrap().starts_with("Transparency report: Example Hospital Trust, 1 January"), "{at}");
        assert_eq!((&found["lang"], &found["unscoped"]), (&Value::from("en"), &Value::from(0)), "{at}");
        assert!(found["figures"].as_u64().unwrap() >= 6 && found["figures"] == found["tables"], "a table behind every chart: {at}");
        let tables =
            ["What flows to whom: how many fields", "What can be inferred", "How many findings", "What changed since the one before"];
        assert_eq!(found["risk"]["tables"], serde_json::json!(tables), "{at}");
        assert!(found["risk"]["rows"].as_u64().unwrap() > 20 && found["risk"]["seen"] == true, "{at}");
        assert!(found["refusals"]["rows"] == 2 && found["refusals"]["seen"] == true, "{at}");
        assert!(list(&found, "dead").is_empty() && list(&found, "ids").is_empty(), "{at}");
        let heads: Vec<u64> = list(&found, "heads").iter().map(|head| head.as_u64().unwrap()).collect();
        assert!(heads[0] == 1 && heads.windows(2).all(|pair| pair[1] <= pair[0] + 1), "no heading is passed over: {at}");
    }
}

#[test]
fn a_page_that_reads_badly_is_told_from_one_that_reads_well() {
    let (_desk, out) = made();
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    let bent = html.replace("img-src data:", "img-src data: http:").replace("style-src '", "style-src 'unsafe-hashes' 'sha256-x' '");
    let bad = "<p><font size=\"1\">tiny</font></p><svg width=\"700\" height=\"9\"></svg>\
               <p><font color=\"#bbbbbb\">pale</font></p><img src=\"http://somewhere.example/pixel.png\" width=\"2\" alt=\"\"></main>";
    let Some((found, asked)) = measured(&bent.replace("</main>", bad), 390, false) else { return };
    for name in ["overflow", "small", "pale", "fetched"] {
        assert!(!list(&found, name).is_empty(), "{name}: {found}");
    }
    assert!(asked.iter().any(|url| url.contains("somewhere.example")), "{asked:?}");
}

#[test]
fn the_page_holds_nothing_that_runs_or_comes_from_elsewhere() {
    let (_desk, out) = made();
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    let lower = html.to_lowercase();
    for banned in
        ["<script", "javascript:", " on", "<iframe", "<object", "<embed", "@import", "url(", "<form", "style=\"", "src=", "srcset"]
    {
        let found = lower.match_indices(banned).map(|(at, _)| lower.chars().skip(lower[..at].chars().count()).take(40).collect::<String>());
        // ` on` is a word; with an equals sign behind, it would be a handler.
        let found: Vec<_> =
            found.filter(|text| banned != " on" || text.split([' ', '>']).nth(1).is_some_and(|word| word.contains('='))).collect();
        assert!(found.is_empty(), "{banned}: {found:?}");
    }
    assert_eq!(html.matches("<link ").count(), 1, "the empty icon, so that none is asked for");
    let style = html.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let hash = data_encoding::BASE64.encode(&twinveil::veil::crypto::hash::sha256(&[style.as_bytes()]));
    assert!(html.contains(&format!("default-src &#39;none&#39;; style-src &#39;sha256-{hash}&#39;")), "the policy names the style");
}
