//! Sets of positions in Lua: what the scripts compute is what integers of 64 bits give.

use super::partial_writes::Dice;
use crate::fixture;

/// ARGV: two sets as texts, and how many positions. Returns the first set, what both have and the first positions of the
/// first one as texts; how many it has; its first one.
const CHECK: &str = "
local one, other = read_positions(ARGV[1], 1), read_positions(ARGV[2], 1)
local first, n = first_positions(one, tonumber(ARGV[3]))
return { positions_text(one), positions_text(common(one, other)), positions_text(first), n, ones(one),
  one > 0 and lowest(one) or -1 }";

/// As it is stored: positions 0 to 31 first.
fn text(positions: u64) -> [u8; 8] {
    positions.rotate_left(32).to_be_bytes()
}

#[tokio::test]
async fn sets_of_positions_are_exact() {
    let fixture = fixture().await;
    let lua = |name: &str| {
        let path = format!("{}/lua/queue/{name}.lua", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let names = "local byte, char, sub, call, state = string.byte, string.char, string.sub, redis.call, ''
        local pack, unpack_bytes = struct.pack, struct.unpack\n";
    let script = [names, &lua("positions"), &lua("batch"), CHECK].concat();
    let mut dice = Dice(1);
    let mut any = |number: u64| {
        let random = (0..50).fold(0, |all, _| all << 1 | dice.roll(2) as u64);
        let (low, high) = (dice.roll(51), dice.roll(51));
        let below = |bits| (1_u64 << bits) - 1;
        match number % 4 {
            0 => random,
            1 => random & below(low) | (random >> 3 & !below(high)),
            2 => below(low) & !below(high),
            _ => 1 << low.min(49),
        }
    };
    for number in 0..2000 {
        let (one, other) = (any(number) & ((1 << 50) - 1), any(number / 4) & ((1 << 50) - 1));
        for most in [1, 2, one.count_ones().saturating_sub(1).max(1), 37, 50] {
            let (count, most_text) = (one.count_ones(), most.to_string());
            let args: [&[u8]; 6] = [b"EVAL", script.as_bytes(), b"0", &text(one), &text(other), most_text.as_bytes()];
            let found = fixture.server.command(&args).await.unwrap().into_array();
            let mut first = one;
            while first.count_ones() > most {
                first &= !(1 << first.ilog2());
            }
            for (found, expected) in found.iter().zip([one, one & other, first]) {
                assert_eq!(found.as_bytes().unwrap(), text(expected), "{one:b}, {other:b}, {most}");
            }
            let numbers: Vec<_> = found[3..].iter().map(|found| found.as_integer().unwrap()).collect();
            let lowest = if one > 0 { i64::from(one.trailing_zeros()) } else { -1 };
            assert_eq!(numbers, [i64::from(count.min(most)), i64::from(count), lowest], "{one:b}, {most}");
        }
    }
}
