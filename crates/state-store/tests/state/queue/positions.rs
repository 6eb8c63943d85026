//! Sets of positions in Lua: what the scripts compute is what integers of 64 bits give.

use super::partial_writes::Dice;
use crate::fixture;

/// ARGV: two sets as texts. Returns the first set and what both have as texts; how many it has; those that it contains.
const CHECK: &str = "
local one, other = read_positions(ARGV[1], 1), read_positions(ARGV[2], 1)
local reply = { positions_text(one), positions_text(common(one, other)), ones(one) }
for position = 0, 63 do
  if contains(one, position) then reply[#reply + 1] = position end
end
return reply";

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
    let names = "local byte, char, sub = string.byte, string.char, string.sub
        local pack, unpack_bytes = struct.pack, struct.unpack\n";
    let script = [names, &lua("positions"), &lua("batches"), CHECK].concat();
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
        let args: [&[u8]; 5] = [b"EVAL", script.as_bytes(), b"0", &text(one), &text(other)];
        let found = fixture.server.command(&args).await.unwrap().into_array();
        for (found, expected) in found.iter().zip([one, one & other]) {
            assert_eq!(found.as_bytes().unwrap(), text(expected), "{one:b}, {other:b}");
        }
        let numbers: Vec<_> = found[2..].iter().map(|found| found.as_integer().unwrap()).collect();
        let positions = (0..64).filter(|position| one >> position & 1 == 1);
        assert_eq!(numbers, std::iter::once(one.count_ones().into()).chain(positions).collect::<Vec<i64>>(), "{one:b}");
    }
}
