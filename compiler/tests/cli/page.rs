//! The page of `inspect --html`, as a file; `make test-page` opens it in a browser.

use super::{MLP, Place};

/// The text of an element of the page.
fn element<'a>(page: &'a str, id: &str) -> &'a str {
    let start = page.find(&format!("id=\"{id}\">")).unwrap_or_else(|| panic!("no {id}")) + id.len() + 6;
    &page[start..start + page[start..].find("</script>").expect("an end")]
}

fn data(page: &str) -> serde_json::Value {
    serde_json::from_str(element(page, "data")).expect("JSON")
}

#[test]
fn the_page_shows_models_and_artifacts_the_same_every_time() {
    let p = Place::compiled();
    p.ok(&["inspect", "--html", "a.html", "mlp.txt"]);
    p.ok(&["inspect", "--html", "b.html", "mlp.txt"]);
    assert_eq!(p.read("a.html"), p.read("b.html"));
    let page = String::from_utf8(p.read("a.html")).expect("text");
    let of_model = data(&page);
    let nodes = of_model["nodes"].as_array().expect("nodes");
    let kinds: Vec<&str> = nodes.iter().filter_map(|n| n["kind"].as_str()).collect();
    assert_eq!(kinds, ["input", "kernel", "output"]);
    assert_eq!(of_model["groups"][nodes[1]["group"].as_u64().expect("a group") as usize]["ops"][0], "matmul");
    // What the kernel is made of, each op with its node.
    let parts: Vec<&str> = nodes[1]["parts"].as_array().expect("parts").iter().filter_map(|p| p[0].as_str()).collect();
    assert_eq!(parts[0], "matmul");
    assert!(nodes[1]["parts"].as_array().expect("parts").iter().any(|p| p[1] == "fc"), "{}", nodes[1]);
    assert!(nodes[1]["does"].as_array().expect("ops with code").contains(&serde_json::json!(0)));
    assert_eq!(of_model["edges"], serde_json::json!([[0, 1, 0], [1, 2, 1]]));
    let packed: Vec<String> = serde_json::from_str(element(&page, "sources")).expect("JSON");
    assert!(packed.len() == 1 && packed[0].len() > 100);
    // Nothing is loaded from anywhere, and nothing is left to be put in.
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("http://") && !outside.contains("https://") && !outside.contains("{{"));

    p.ok(&["inspect", "--html", "c.html", "mlp.bmg"]);
    let page = String::from_utf8(p.read("c.html")).expect("text");
    // An artifact has machine code, and no texts of the compiler's.
    let forms = |page: &str, device: bool| {
        let data = data(page);
        let of = |k: &&serde_json::Value| k["device"] == device;
        data["kernels"].as_array().expect("kernels").iter().find(of).map(|k| k["forms"].clone())
    };
    assert_eq!(forms(&page, false), Some(serde_json::json!(["asm"])));
    assert_eq!(data(&page)["whole"], false);
    assert_eq!(data(&page)["edges"], of_model["edges"]);
    p.ok(&["inspect", "--html", "d.html", "--measure", "mlp.txt"]);
    let page = String::from_utf8(p.read("d.html")).expect("text");
    assert!(data(&page)["nodes"][1]["us"].as_f64() > Some(0.0));
    // For an NPU Ascend C, of its artifact, too, and host code or why there is none.
    p.ok(&["inspect", "--html", "npu.html", "--target", "ascend910b1", "mlp.txt"]);
    let page = String::from_utf8(p.read("npu.html")).expect("text");
    assert_eq!(forms(&page, true), Some(serde_json::json!(["ir", "ascend"])));
    let project = &data(&page)["project"];
    // This plan has an open extent: the runtime carries it out.
    assert!(project["why"][0].as_str().is_some_and(|w| w.contains("is open")), "{project}");
    p.ok(&["compile", "--target", "ascend910b1", "mlp.txt", "-o", "npu"]);
    p.ok(&["inspect", "--html", "artifact.html", "npu/mlp.bmg"]);
    let page = String::from_utf8(p.read("artifact.html")).expect("text");
    assert_eq!(forms(&page, true), Some(serde_json::json!(["ascend"])));
}

#[test]
fn names_cannot_leave_their_place() {
    let p = Place::new();
    let evil = r#"</script><script>document.title='taken'</script><img src=x onerror=alert(1)>{{script}} \"'&lt;"#;
    p.write(
        "evil.txt",
        MLP.replace("\"fc\"", &format!("\"{evil}\"")).replace("input \"x\"", &format!("input \"{evil}\"")).as_bytes(),
    );
    p.ok(&["inspect", "--html", "evil.html", "evil.txt"]);
    let page = String::from_utf8(p.read("evil.html")).expect("text");
    assert_eq!(page.matches("</script").count(), 3, "the page's own elements");
    assert!(!page.contains("<img") && !page.contains("<script>document"));
    let title = data(&page)["nodes"][0]["title"].as_str().expect("a title").to_string();
    assert_eq!(title, evil.replace("\\\"", "\""), "the name itself is whole");
}

#[test]
fn buffers_of_a_plan_do_not_overlap() {
    let p = Place::new();
    let mut text = String::from("graph \"g\" {\n  %0 = input \"x\" : f32[64, 64]\n  %1 = Constant(0) : f32[64, 64]\n");
    for i in 0..6 {
        let from = if i == 0 { 0 } else { i + 1 };
        text += &format!("  %{} = MatMul(out:\"f32\") %{from}, %1 : f32[64, 64]\n", i + 2);
    }
    text += "  %8 = Binary(Add) %7, %2 : f32[64, 64]\n  %9 = Softmax(axis:1,log:false) %8 : f32[64, 64]\n  output \"y\" %9\n";
    text += &format!("  const 0 : f32[64, 64] = [{}]\n}}\n", vec!["0.01"; 4096].join(", "));
    p.write("g.txt", text.as_bytes());
    p.ok(&["inspect", "--html", "g.html", "g.txt"]);
    let doc = data(&String::from_utf8(p.read("g.html")).expect("text"));
    let lives: Vec<[u64; 5]> = serde_json::from_value(doc["arena"]["lives"].clone()).expect("lives");
    assert!(lives.len() >= 4, "{lives:?}");
    for (i, [_, at, n, from, to]) in lives.iter().enumerate() {
        assert!(from <= to && at + n <= doc["arena"]["bytes"].as_u64().expect("bytes"));
        for [_, at2, n2, from2, to2] in &lives[i + 1..] {
            assert!(to < from2 || to2 < from || at + n <= *at2 || at2 + n2 <= *at, "{lives:?}");
        }
    }
}
