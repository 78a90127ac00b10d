//! Which registers to read, in how few requests.

use std::ops::Range;

use modbus::{Block, ExceptionCode, Format, ModbusError, Table};

use crate::Device;

/// Registers between two wanted ones that are read along rather than asked for in two requests.
const GAP: u16 = 8;
/// Most registers in one request. SDM630 meters take 40 at most; a table of 80 would otherwise be one request.
const MOST: u16 = 125;

/// One request: registers of one table, and the wanted numbers among them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    table: Table,
    /// First register and number of registers of each wanted number, in their order.
    points: Vec<(u16, u16)>,
}

impl Request {
    fn range(&self) -> Range<u32> {
        let start = self.points.first().map_or(0, |(address, _)| u32::from(*address));
        let end = self.points.iter().map(|(address, width)| u32::from(*address) + u32::from(*width)).max();
        start..end.unwrap_or(start).max(start)
    }

    /// In pieces without gaps; a piece without gaps into its numbers.
    fn split(&self) -> Vec<Request> {
        let pieces = requests(self.table, &self.points, 0, MOST);
        if pieces.len() > 1 {
            return pieces;
        }
        self.points.iter().map(|point| Request { table: self.table, points: vec![*point] }).collect()
    }
}

fn requests(table: Table, points: &[(u16, u16)], gap: u16, most: u16) -> Vec<Request> {
    let mut all: Vec<Request> = Vec::new();
    for &(address, width) in points {
        let end = u32::from(address) + u32::from(width);
        match all.last_mut() {
            Some(last)
                if u32::from(address) <= last.range().end + u32::from(gap)
                    && end.max(last.range().end) - last.range().start <= u32::from(most) =>
            {
                last.points.push((address, width));
            }
            _ => all.push(Request { table, points: vec![(address, width)] }),
        }
    }
    all
}

/// The registers that a driver wants. Neighbours are read together; where a device refuses a block because it lacks a
/// register in it, the block is read in pieces from then on, and numbers it lacks are not asked for again. A failure of
/// the connection forgets what was learnt: the device may be another one, or have new firmware.
#[derive(Debug, Clone)]
pub struct Plan {
    whole: Vec<Request>,
    learnt: Vec<Request>,
    refusal: Option<(ExceptionCode, u16)>,
}

impl Plan {
    /// A plan for numbers at addresses of tables.
    #[must_use]
    pub fn new(points: impl IntoIterator<Item = (Table, u16, Format)>) -> Self {
        Plan::with_most(points, MOST)
    }

    /// The same for a device that takes fewer registers in one request.
    #[must_use]
    pub fn with_most(points: impl IntoIterator<Item = (Table, u16, Format)>, most: u16) -> Self {
        let mut all: Vec<(Table, u16, u16)> =
            points.into_iter().map(|(table, address, format)| (table, address, format.number().width())).collect();
        // A number that would end past the last register is in no device.
        all.retain(|(_, address, width)| u32::from(*address) + u32::from(*width) <= 0x1_0000);
        all.sort_unstable();
        all.dedup();
        let of = |wanted: Table| {
            let points = all.iter().filter(|(table, ..)| *table == wanted);
            points.map(|(_, address, width)| (*address, *width)).collect::<Vec<_>>()
        };
        let tables = [Table::Holding, Table::Input];
        let whole: Vec<Request> =
            tables.into_iter().flat_map(|table| requests(table, &of(table), GAP, most.clamp(4, MOST))).collect();
        Plan { learnt: whole.clone(), whole, refusal: None }
    }

    /// Reads everything once.
    ///
    /// # Errors
    /// Any [`ModbusError`] but the refusal of a register, which only leaves its numbers out.
    pub fn read(&mut self, device: &mut Device) -> Result<Image, ModbusError> {
        let mut image = Image { blocks: Vec::new(), refusal: self.refusal };
        let mut left: Vec<Request> = std::mem::take(&mut self.learnt);
        left.reverse();
        while let Some(request) = left.pop() {
            let range = request.range();
            let start = u16::try_from(range.start).unwrap_or(u16::MAX);
            let count = u16::try_from(range.end - range.start).unwrap_or(u16::MAX);
            match device.read(request.table, start, count) {
                Ok(block) => {
                    image.blocks.push((request.table, block));
                    self.learnt.push(request);
                }
                Err(ModbusError::Exception { code, .. }) if is_refusal(code) => {
                    if request.points.len() > 1 {
                        left.extend(request.split().into_iter().rev());
                    } else {
                        self.refusal = self.refusal.or(Some((code, start)));
                        image.refusal = self.refusal;
                    }
                }
                Err(error) => {
                    self.forget();
                    return Err(error);
                }
            }
        }
        Ok(image)
    }

    /// Asks for everything again next time.
    pub fn forget(&mut self) {
        self.learnt.clone_from(&self.whole);
        self.refusal = None;
    }
}

/// What devices answer to a block that has a register they lack; the right code is 2.
fn is_refusal(code: ExceptionCode) -> bool {
    matches!(code, ExceptionCode::IllegalAddress | ExceptionCode::IllegalValue | ExceptionCode::DeviceFailure)
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Image {
    blocks: Vec<(Table, Block)>,
    refusal: Option<(ExceptionCode, u16)>,
}

impl Image {
    /// From blocks at hand.
    #[must_use]
    pub fn new(blocks: Vec<(Table, Block)>) -> Self {
        Image { blocks, refusal: None }
    }

    /// The number at an address; `None` where the device has no such register, or says that it has no value.
    #[must_use]
    pub fn number(&self, table: Table, address: u16, format: Format) -> Option<f64> {
        let tables = self.blocks.iter().filter(|(of, _)| *of == table);
        tables.filter_map(|(_, block)| block.number(address, format).ok()).next().flatten()
    }

    /// Whether the device has the register.
    #[must_use]
    pub fn has(&self, table: Table, address: u16) -> bool {
        self.blocks.iter().any(|(of, block)| *of == table && block.word(address).is_ok())
    }

    /// Why the first register that is left out was refused, for a driver that cannot do without it.
    #[must_use]
    pub fn refusal(&self) -> Option<(ExceptionCode, u16)> {
        self.refusal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ems::{Section, Shared};
    use modbus::{Number, Registers, Target};
    use proptest::prelude::*;
    use std::sync::Arc;

    const WORD: Format = Format::new(Number::U16).without_sentinels();
    const LONG: Format = Format::new(Number::U32).without_sentinels();

    fn device(registers: &str) -> Device {
        let target = Target::Registers(Arc::new(registers.parse::<Registers>().unwrap()));
        let mut section = Section::new("sources.T", serde_json::Map::new());
        Device::open(&mut section, &Shared::new(), target, 1, "serverIP", 1.0).unwrap()
    }

    fn ranges(plan: &Plan) -> Vec<Range<u32>> {
        plan.learnt.iter().map(Request::range).collect()
    }

    #[test]
    fn neighbours_are_read_together() {
        let points = [(0x12, LONG), (0, LONG), (2, LONG), (0x0c, LONG), (0x28, LONG)];
        let plan = Plan::new(points.map(|(address, format)| (Table::Input, address, format)));
        assert_eq!(ranges(&plan), [0..0x14, 0x28..0x2a]);
        let few = Plan::with_most(points.map(|(address, format)| (Table::Input, address, format)), 4);
        assert_eq!(ranges(&few), [0..4, 0x0c..0x0e, 0x12..0x14, 0x28..0x2a]);
    }

    #[test]
    fn what_a_device_lacks_is_left_out_and_not_asked_for_again() {
        let mut device = device("1 holding 100: 0001 0002\n1 holding 104: 0005");
        let mut plan = Plan::new([100, 101, 104, 105].map(|address| (Table::Holding, address, WORD)));
        for _ in 0..2 {
            let image = plan.read(&mut device).unwrap();
            let found = [100, 101, 104, 105].map(|address| image.number(Table::Holding, address, WORD));
            assert_eq!(found, [Some(1.0), Some(2.0), Some(5.0), None]);
            assert_eq!(image.refusal(), Some((ExceptionCode::IllegalAddress, 105)));
            assert_eq!(ranges(&plan), [100..102, 104..105]);
        }
        plan.forget();
        assert_eq!(plan.learnt, plan.whole);
    }

    #[test]
    fn the_last_register_can_be_read() {
        let mut device = device("1 input 65534: 0001 0002");
        let mut plan = Plan::new([(Table::Input, 65534, LONG), (Table::Input, 65535, LONG)]);
        let image = plan.read(&mut device).unwrap();
        assert_eq!(image.number(Table::Input, 65534, LONG), Some(65538.0));
        assert_eq!(image.number(Table::Input, 65535, LONG), None);
    }

    proptest! {
        #[test]
        fn every_wanted_number_is_in_one_request(points in proptest::collection::vec((0u16..300, any::<bool>(), any::<bool>()), 1..40), most in 4u16..130) {
            let of = |(address, is_long, is_input): (u16, bool, bool)| {
                (if is_input { Table::Input } else { Table::Holding }, address, if is_long { LONG } else { WORD })
            };
            let plan = Plan::with_most(points.iter().copied().map(of), most);
            for (table, address, format) in points.into_iter().map(of) {
                let end = u32::from(address) + u32::from(format.number().width());
                prop_assert!(plan.learnt.iter().any(|r| r.table == table && r.range().start <= u32::from(address) && end <= r.range().end));
            }
            for request in &plan.learnt {
                prop_assert!(request.range().end - request.range().start <= u32::from(most.max(4)));
            }
        }
    }
}
