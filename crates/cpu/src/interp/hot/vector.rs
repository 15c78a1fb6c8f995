//! Floating-point and vector instructions that touch V registers, and X registers at most as
//! sources or through a slot: they cannot trap, so they run without leaving the fast path.
//!
//! The op's immediate is the instruction word. The frequent forms have handlers in which all of
//! the word but the register fields is a constant, so that no size is looked at.

use tuxlet_a64::{self as a64, OpId};

use super::finish;
use crate::cx::Trap;
use crate::interp::control::slow_entry;
use crate::interp::cpu::Cpu;
use crate::interp::op::{Handler, Op, next};
use crate::interp::pinned::Pinned;
use crate::interp::rows::Sem;

/// Fields rd, rn and rm.
const REGISTERS: u32 = 0x001f_03ff;
/// Fields rd, rn, rm and ra.
const FOUR_REGISTERS: u32 = 0x001f_7fff;

/// Runs a row whose word is `FIXED` outside the bits of `FIELDS`.
unsafe extern "C" fn run<R: Sem, const FIXED: u32, const FIELDS: u32>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned {
        cpu,
        p0,
        p1,
        p2,
        p3,
    };
    // SAFETY: `ip` is the running op and `cpu` this thread's.
    unsafe {
        let word = (*ip).imm as u32 & FIELDS | FIXED;
        let step = R::from_word(word).run(&mut c);
        finish!(step, ip, 0, c)
    }
}

/// Whether a row sets the condition flags.
pub(crate) fn sets_flags(id: OpId) -> bool {
    matches!(
        id,
        OpId::Fcmp
            | OpId::FcmpZero
            | OpId::Fcmpe
            | OpId::FcmpeZero
            | OpId::Fccmp
            | OpId::Fccmpe
            | OpId::Fjcvtzs
    )
}

macro_rules! handlers {
    (
        fixed { $($row:ident $fields:ident [$({ $($field:ident: $value:expr),* })*];)* }
        plain { $($plain:ident)* }
        general { $($general:ident)* }
    ) => {
        /// The handler of an instruction, if it has one.
        pub(crate) fn handler(id: OpId, word: u32) -> Option<Handler> {
            match id {
                // The slot of register 31 as a destination is another one.
                $(OpId::$general)|* if word & 31 == 31 => None,
                $(OpId::$row => {
                    $({
                        const FIXED: u32 = a64::$row {
                            $($field: $value,)*
                            ..a64::$row::from_word(0)
                        }.to_word();
                        if word & !$fields == FIXED {
                            return Some(run::<a64::$row, FIXED, $fields>);
                        }
                    })*
                    Some(run::<a64::$row, 0, { u32::MAX }>)
                })*
                $(OpId::$plain => Some(run::<a64::$plain, 0, { u32::MAX }>),)*
                _ => None,
            }
        }
    };
}

handlers! {
    fixed {
        FmovReg REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FabsScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FnegScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FsqrtScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FmulScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FdivScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FaddScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FsubScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FnmulScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        Fcmp REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FcmpZero REGISTERS [{ ftype: 0 } { ftype: 1 }];
        Fcmpe REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FcmpeZero REGISTERS [{ ftype: 0 } { ftype: 1 }];
        Fmadd FOUR_REGISTERS [{ ftype: 0 } { ftype: 1 }];
        Fmsub FOUR_REGISTERS [{ ftype: 0 } { ftype: 1 }];
        Fnmadd FOUR_REGISTERS [{ ftype: 0 } { ftype: 1 }];
        Fnmsub FOUR_REGISTERS [{ ftype: 0 } { ftype: 1 }];
        Fcvt REGISTERS [{ ftype: 0, to: 1 } { ftype: 1, to: 0 }];
        ScvtfGpr REGISTERS [{ sf: false, ftype: 0 } { sf: false, ftype: 1 } { sf: true, ftype: 0 } { sf: true, ftype: 1 }];
        UcvtfGpr REGISTERS [{ sf: false, ftype: 0 } { sf: false, ftype: 1 } { sf: true, ftype: 0 } { sf: true, ftype: 1 }];
        FmovFromGpr REGISTERS [{ sf: false, ftype: 0 } { sf: true, ftype: 1 }];
        AddVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SubVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        CmeqVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        CmgtVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        CmhiVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        CmhsVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        CmgeVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        AddpVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UshlVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SshlVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        Zip1 REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        Zip2 REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        Uzp1 REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        Uzp2 REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        Trn1 REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        Trn2 REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        MulVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        MlaVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        MlsVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SmaxVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UmaxVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SminVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UminVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UmaxpVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UminpVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UabdVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SabdVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UmullVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SmullVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UmlalVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SmlalVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UaddlVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SaddlVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UaddwVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SaddwVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        XtnVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UaddlpVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UadalpVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        AddvVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UmaxvVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UminvVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UaddlvVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UrhaddVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UhaddVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        AndVec REGISTERS [{ q: true } { q: false }];
        BicVec REGISTERS [{ q: true } { q: false }];
        OrrVec REGISTERS [{ q: true } { q: false }];
        OrnVec REGISTERS [{ q: true } { q: false }];
        EorVec REGISTERS [{ q: true } { q: false }];
        BslVec REGISTERS [{ q: true } { q: false }];
        BitVec REGISTERS [{ q: true } { q: false }];
        BifVec REGISTERS [{ q: true } { q: false }];
        NotVec REGISTERS [{ q: true } { q: false }];
        CntVec REGISTERS [{ q: true } { q: false }];
        RbitVec REGISTERS [{ q: true } { q: false }];
        Rev16Vec REGISTERS [{ q: true } { q: false }];
        SqaddVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UqaddVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SqsubVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UqsubVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        NegVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        AbsVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        CmeqZeroVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        FaddVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FsubVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FmulVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FdivVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FmlaVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FmlsVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FcmgtVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FcmgeVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FcmeqVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FnegVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FabsVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FsqrtVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        ScvtfVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        UcvtfVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FcvtzsVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FcvtzsGpr REGISTERS [{ sf: false, ftype: 0 } { sf: false, ftype: 1 } { sf: true, ftype: 0 } { sf: true, ftype: 1 }];
        FcvtzuGpr REGISTERS [{ sf: false, ftype: 0 } { sf: false, ftype: 1 } { sf: true, ftype: 0 } { sf: true, ftype: 1 }];
        FmovToGpr REGISTERS [{ sf: false, ftype: 0 } { sf: true, ftype: 1 }];
    }
    plain {
        FcvtzsGprFixed
        FcvtzuGprFixed
        FcvtnsGpr
        FcvtnuGpr
        FcvtasGpr
        FcvtauGpr
        FcvtpsGpr
        FcvtpuGpr
        FcvtmsGpr
        FcvtmuGpr
        Fjcvtzs
        FmovTopToGpr
        Smov
        Umov
        Bfcvt
        FrintnScalar
        FrintpScalar
        FrintmScalar
        FrintzScalar
        FrintaScalar
        FrintxScalar
        FrintiScalar
        Frint32zScalar
        Frint32xScalar
        Frint64zScalar
        Frint64xScalar
        FmaxScalar
        FminScalar
        FmaxnmScalar
        FminnmScalar
        Fccmp
        Fccmpe
        Fcsel
        FmovImm
        ScvtfGprFixed
        UcvtfGprFixed
        FmovTopFromGpr
        ShaddVec
        SqaddScalar
        UqaddScalar
        SrhaddVec
        ShsubVec
        UhsubVec
        SqsubScalar
        UqsubScalar
        CmgtScalar
        CmhiScalar
        CmgeScalar
        CmhsScalar
        SshlScalar
        UshlScalar
        SqshlVec
        SqshlScalar
        UqshlVec
        UqshlScalar
        SrshlVec
        SrshlScalar
        UrshlVec
        UrshlScalar
        SqrshlVec
        SqrshlScalar
        UqrshlVec
        UqrshlScalar
        SabaVec
        UabaVec
        AddScalar
        SubScalar
        CmtstVec
        CmtstScalar
        CmeqScalar
        SmaxpVec
        SminpVec
        SqdmulhVec
        SqdmulhScalar
        SqrdmulhVec
        SqrdmulhScalar
        PmulVec
        FmaxnmVec
        FmaxnmVecHalf
        FmaxnmpVec
        FmaxnmpVecHalf
        FminnmVec
        FminnmVecHalf
        FminnmpVec
        FminnmpVecHalf
        FmlaVecHalf
        FmlsVecHalf
        FaddVecHalf
        FaddpVec
        FaddpVecHalf
        FsubVecHalf
        FabdVec
        FabdVecHalf
        FabdScalar
        FabdScalarHalf
        FmulxVec
        FmulxVecHalf
        FmulxScalar
        FmulxScalarHalf
        FmulVecHalf
        FcmeqVecHalf
        FcmeqScalar
        FcmeqScalarHalf
        FcmgeVecHalf
        FcmgeScalar
        FcmgeScalarHalf
        FcmgtVecHalf
        FcmgtScalar
        FcmgtScalarHalf
        FacgeVec
        FacgeVecHalf
        FacgeScalar
        FacgeScalarHalf
        FacgtVec
        FacgtVecHalf
        FacgtScalar
        FacgtScalarHalf
        FmaxVec
        FmaxVecHalf
        FmaxpVec
        FmaxpVecHalf
        FminVec
        FminVecHalf
        FminpVec
        FminpVecHalf
        FrecpsVec
        FrecpsVecHalf
        FrecpsScalar
        FrecpsScalarHalf
        FdivVecHalf
        FrsqrtsVec
        FrsqrtsVecHalf
        FrsqrtsScalar
        FrsqrtsScalarHalf
        FmlalVec
        FmlslVec
        Fmlal2Vec
        Fmlsl2Vec
        SqrdmlahVec
        SqrdmlahScalar
        SqrdmlshVec
        SqrdmlshScalar
        SdotVec
        UdotVec
        UsdotVec
        Smmla
        Ummla
        Usmmla
        FcmlaVec
        FcaddVec
        BfdotVec
        Bfmmla
        BfmlalVec
        Rev64Vec
        Rev32Vec
        SaddlpVec
        SuqaddVec
        UsqaddVec
        SuqaddScalar
        UsqaddScalar
        ClsVec
        ClzVec
        SadalpVec
        SqabsVec
        SqnegVec
        SqabsScalar
        SqnegScalar
        CmgtZeroVec
        CmgtZeroScalar
        CmgeZeroVec
        CmgeZeroScalar
        CmeqZeroScalar
        CmleZeroVec
        CmleZeroScalar
        CmltZeroVec
        CmltZeroScalar
        AbsScalar
        NegScalar
        SqxtunVec
        SqxtunScalar
        SqxtnVec
        SqxtnScalar
        UqxtnVec
        UqxtnScalar
        ShllVec
        UrecpeVec
        UrsqrteVec
        FcvtnVec
        FcvtlVec
        FcvtxnVec
        FcvtxnScalar
        BfcvtnVec
        FrintnVec
        FrintnVecHalf
        FrintaVec
        FrintaVecHalf
        FrintpVec
        FrintpVecHalf
        FrintmVec
        FrintmVecHalf
        FrintxVec
        FrintxVecHalf
        FrintzVec
        FrintzVecHalf
        FrintiVec
        FrintiVecHalf
        FcvtnsVec
        FcvtnsVecHalf
        FcvtnsScalar
        FcvtnsScalarHalf
        FcvtnuVec
        FcvtnuVecHalf
        FcvtnuScalar
        FcvtnuScalarHalf
        FcvtpsVec
        FcvtpsVecHalf
        FcvtpsScalar
        FcvtpsScalarHalf
        FcvtpuVec
        FcvtpuVecHalf
        FcvtpuScalar
        FcvtpuScalarHalf
        FcvtmsVec
        FcvtmsVecHalf
        FcvtmsScalar
        FcvtmsScalarHalf
        FcvtmuVec
        FcvtmuVecHalf
        FcvtmuScalar
        FcvtmuScalarHalf
        FcvtzsVecHalf
        FcvtzsScalar
        FcvtzsScalarHalf
        FcvtzuVec
        FcvtzuVecHalf
        FcvtzuScalar
        FcvtzuScalarHalf
        FcvtasVec
        FcvtasVecHalf
        FcvtasScalar
        FcvtasScalarHalf
        FcvtauVec
        FcvtauVecHalf
        FcvtauScalar
        FcvtauScalarHalf
        ScvtfVecHalf
        ScvtfScalar
        ScvtfScalarHalf
        UcvtfVecHalf
        UcvtfScalar
        UcvtfScalarHalf
        FrecpeVec
        FrecpeVecHalf
        FrecpeScalar
        FrecpeScalarHalf
        FrsqrteVec
        FrsqrteVecHalf
        FrsqrteScalar
        FrsqrteScalarHalf
        FsqrtVecHalf
        FrecpxScalar
        FrecpxScalarHalf
        FabsVecHalf
        FnegVecHalf
        FcmgtZeroVec
        FcmgtZeroVecHalf
        FcmgtZeroScalar
        FcmgtZeroScalarHalf
        FcmgeZeroVec
        FcmgeZeroVecHalf
        FcmgeZeroScalar
        FcmgeZeroScalarHalf
        FcmeqZeroVec
        FcmeqZeroVecHalf
        FcmeqZeroScalar
        FcmeqZeroScalarHalf
        FcmleZeroVec
        FcmleZeroVecHalf
        FcmleZeroScalar
        FcmleZeroScalarHalf
        FcmltZeroVec
        FcmltZeroVecHalf
        FcmltZeroScalar
        FcmltZeroScalarHalf
        Frint32zVec
        Frint32xVec
        Frint64zVec
        Frint64xVec
        SaddlvVec
        SmaxvVec
        SminvVec
        FmaxnmvVec
        FmaxnmvVecHalf
        FminnmvVec
        FminnmvVecHalf
        FmaxvVec
        FmaxvVecHalf
        FminvVec
        FminvVecHalf
        AddpScalar
        FmaxnmpScalar
        FmaxnmpScalarHalf
        FminnmpScalar
        FminnmpScalarHalf
        FaddpScalar
        FaddpScalarHalf
        FmaxpScalar
        FmaxpScalarHalf
        FminpScalar
        FminpScalarHalf
        DupElemVec
        DupElemScalar
        DupGpr
        InsGpr
        InsElem
        Tbl
        Tbx
        Ext
        Movi
        Mvni
        OrrVecImm
        BicVecImm
        FmovVecImm
        FmovVecImmHalf
        SshrVec
        SshrScalar
        UshrVec
        UshrScalar
        SsraVec
        SsraScalar
        UsraVec
        UsraScalar
        SrshrVec
        SrshrScalar
        UrshrVec
        UrshrScalar
        SrsraVec
        SrsraScalar
        UrsraVec
        UrsraScalar
        SriVec
        SriScalar
        ShlVec
        ShlScalar
        SliVec
        SliScalar
        SqshluVec
        SqshluScalar
        SqshlImmVec
        SqshlImmScalar
        UqshlImmVec
        UqshlImmScalar
        ShrnVec
        RshrnVec
        SqshrunVec
        SqshrunScalar
        SqrshrunVec
        SqrshrunScalar
        SqshrnVec
        SqshrnScalar
        UqshrnVec
        UqshrnScalar
        SqrshrnVec
        SqrshrnScalar
        UqrshrnVec
        UqrshrnScalar
        SshllVec
        UshllVec
        ScvtfFixedVec
        ScvtfFixedScalar
        UcvtfFixedVec
        UcvtfFixedScalar
        FcvtzsFixedVec
        FcvtzsFixedScalar
        FcvtzuFixedVec
        FcvtzuFixedScalar
        SsublVec
        UsublVec
        SsubwVec
        UsubwVec
        AddhnVec
        RaddhnVec
        SabalVec
        UabalVec
        SubhnVec
        RsubhnVec
        SabdlVec
        UabdlVec
        SmlslVec
        UmlslVec
        SqdmlalVec
        SqdmlalScalar
        SqdmlslVec
        SqdmlslScalar
        SqdmullVec
        SqdmullScalar
        PmullVec
        MlaElem
        MlsElem
        MulElem
        SqdmulhElem
        SqdmulhElemScalar
        SqrdmulhElem
        SqrdmulhElemScalar
        SqrdmlahElem
        SqrdmlahElemScalar
        SqrdmlshElem
        SqrdmlshElemScalar
        SmlalElem
        UmlalElem
        SmlslElem
        UmlslElem
        SmullElem
        UmullElem
        SqdmlalElem
        SqdmlalElemScalar
        SqdmlslElem
        SqdmlslElemScalar
        SqdmullElem
        SqdmullElemScalar
        FmlaElem
        FmlaElemScalar
        FmlaElemHalf
        FmlaElemScalarHalf
        FmlsElem
        FmlsElemScalar
        FmlsElemHalf
        FmlsElemScalarHalf
        FmulElem
        FmulElemScalar
        FmulElemHalf
        FmulElemScalarHalf
        FmulxElem
        FmulxElemScalar
        FmulxElemHalf
        FmulxElemScalarHalf
        FmlalElem
        FmlslElem
        Fmlal2Elem
        Fmlsl2Elem
        SdotElem
        UdotElem
        UsdotElem
        SudotElem
        BfdotElem
        BfmlalElem
        FcmlaElem
        Aese
        Aesd
        Aesmc
        Aesimc
        PmullQ
        Sha1c
        Sha1p
        Sha1m
        Sha1su0
        Sha256h
        Sha256h2
        Sha256su1
        Sha1h
        Sha1su1
        Sha256su0
        Sha512h
        Sha512h2
        Sha512su1
        Sha512su0
        Rax1
        Xar
        Eor3
        Bcax
        Sm3ss1
        Sm3tt1a
        Sm3tt1b
        Sm3tt2a
        Sm3tt2b
        Sm3partw1
        Sm3partw2
        Sm4ekey
        Sm4e
    }
    general {
        FcvtzsGpr
        FcvtzuGpr
        FmovToGpr
        FcvtzsGprFixed
        FcvtzuGprFixed
        FcvtnsGpr
        FcvtnuGpr
        FcvtasGpr
        FcvtauGpr
        FcvtpsGpr
        FcvtpuGpr
        FcvtmsGpr
        FcvtmuGpr
        Fjcvtzs
        FmovTopToGpr
        Smov
        Umov
    }
}
