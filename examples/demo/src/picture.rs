//! The attachment: a picture that is made, so that none has to be shipped.

pub(crate) const IMAGE_WIDTH: usize = 1280;
const IMAGE_HEIGHT: usize = 1360;
pub(crate) const BMP_HEADER: usize = 54;

/// Hills under an evening sun: an uncompressed BMP of 5 MB, top row first.
pub(crate) fn landscape() -> Vec<u8> {
    let (width, height) = (IMAGE_WIDTH, IMAGE_HEIGHT);
    let ridge = |x: usize, period: usize, steep: usize| (x % period).abs_diff(period / 2) * steep / 4;
    let number = |number: usize| u32::try_from(number).unwrap_or_default().to_le_bytes();
    let negative_height = i32::try_from(height).unwrap_or_default().wrapping_neg().to_le_bytes();
    let size = BMP_HEADER + width * height * 3;
    let mut bmp = Vec::with_capacity(size);
    bmp.extend([b"BM".as_slice(), &number(size), &number(0), &number(BMP_HEADER)].concat());
    bmp.extend([number(40), number(width), negative_height, [1, 0, 24, 0]].concat());
    bmp.extend([[0; 4]; 6].concat());
    for y in 0..height {
        let sky = u8::try_from(150 + y * 100 / height).unwrap_or(250);
        for x in 0..width {
            let sun = x.abs_diff(900).pow(2) + y.abs_diff(360).pow(2) < 180 * 180;
            let far = y > 620 + ridge(x, 640, 3);
            let near = y > 900 + ridge(x + 300, 1000, 2);
            let [red, green, blue] = match (near, far, sun) {
                (true, ..) => [20, 40, 25],
                (_, true, _) => [90, 110, 100],
                (.., true) => [255, 255, 230],
                _ => [sky, sky - 30, 170],
            };
            bmp.extend([blue, green, red]);
        }
    }
    bmp
}
