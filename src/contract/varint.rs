//! Avro's numbers as they are written: zigzag, seven bits a byte, the lowest first.

/// Appends a number.
pub fn write(value: i64, out: &mut Vec<u8>) {
    let mut number = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}
