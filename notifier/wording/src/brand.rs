//! The company's brand as templates use it: name, logo, and colours with enough contrast.

use domain::settings::Mail;
use serde::Serialize;

use crate::line::one_line;

/// The default brand colour.
const BLUE: [u8; 3] = [0x1f, 0x5f, 0xd6];
/// Text colour on a dark background.
const WHITE: &str = "#ffffff";
/// Text colour on a light background. Pure black, because with a softer one some backgrounds reach a contrast of 4.5
/// with neither text colour.
const BLACK: &str = "#000000";
/// The minimum luminance on a dark page, and the maximum on a white one.
const SEEN: (f64, f64) = (0.25, 0.6);

/// A brand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Brand {
    /// The company's name.
    pub name: Option<String>,
    /// The URL of its logo.
    pub logo: Option<String>,
    /// The colour of buttons.
    pub colour: String,
    /// The text colour on that background.
    pub on_colour: &'static str,
    /// The brand colour, darkened until it is visible on a white page.
    pub edge: String,
    /// The brand colour, lightened until it is visible on a dark page.
    pub accent: String,
}

impl Brand {
    /// The brand of a tenant.
    #[must_use]
    pub fn of(mail: &Mail) -> Self {
        let rgb = mail.brand_colour.rgb().unwrap_or(BLUE);
        Self {
            name: mail
                .brand_name
                .get()
                .map(|name| one_line(name, usize::MAX))
                .filter(|name| !name.is_empty()),
            logo: mail.brand_logo.get().map(str::to_owned),
            colour: css(rgb),
            on_colour: if against(rgb, 1.0) >= against(rgb, 0.0) { WHITE } else { BLACK },
            edge: css(darkened(rgb)),
            accent: css(lightened(rgb)),
        }
    }
}

fn css([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The relative luminance of WCAG 2.2.
fn luminance(rgb: [u8; 3]) -> f64 {
    let linear = |part: u8| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    let [red, green, blue] = rgb.map(linear);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// The contrast of WCAG 2.2 between a colour and a luminance.
fn against(rgb: [u8; 3], other: f64) -> f64 {
    let own = luminance(rgb);
    (own.max(other) + 0.05) / (own.min(other) + 0.05)
}

fn lightened(rgb: [u8; 3]) -> [u8; 3] {
    let mut light = rgb;
    // Each step moves every component at least 1 towards white, so the loop ends.
    while luminance(light) < SEEN.0 {
        light = light.map(|part| part.saturating_add((255 - part) / 8 + 1));
    }
    light
}

fn darkened(rgb: [u8; 3]) -> [u8; 3] {
    let mut dark = rgb;
    while luminance(dark) > SEEN.1 {
        dark = dark.map(|part| part - part / 8);
    }
    dark
}

#[cfg(test)]
mod tests {
    use domain::settings::BrandColour;

    use super::*;

    fn brand(colour: &str) -> Brand {
        Brand::of(&Mail {
            brand_colour: BrandColour::try_from(colour.to_owned()).unwrap(),
            ..Mail::default()
        })
    }

    #[test]
    fn text_on_any_brand_colour_is_readable() {
        for (colour, on_colour) in [
            ("#000000", WHITE),
            ("#1f5fd6", WHITE),
            ("#b00020", WHITE),
            ("#ffcc00", BLACK),
            ("#ffffff", BLACK),
        ] {
            let brand = brand(colour);
            assert_eq!((brand.colour.as_str(), brand.on_colour), (colour, on_colour));
        }
        assert_eq!(brand("").colour, "#1f5fd6");
        for grey in 0..=255 {
            let on = if brand(&css([grey; 3])).on_colour == WHITE { 1.0 } else { 0.0 };
            assert!(against([grey; 3], on) >= 4.5, "grey {grey}");
        }
    }

    #[test]
    fn every_colour_is_visible_on_dark_and_white_pages() {
        for colour in ["#000000", "#00003f", "#1f5fd6", "#7f0000"] {
            let accent = BrandColour::try_from(brand(colour).accent).unwrap();
            assert!(luminance(accent.rgb().unwrap()) >= SEEN.0, "{colour}");
        }
        assert_eq!(brand("#ffcc00").accent, "#ffcc00");
        for colour in ["#ffffff", "#ffffcc", "#ffcc00"] {
            let edge = BrandColour::try_from(brand(colour).edge).unwrap();
            assert!(luminance(edge.rgb().unwrap()) <= SEEN.1, "{colour}");
        }
        assert_eq!(brand("#1f5fd6").edge, "#1f5fd6");
    }
}
