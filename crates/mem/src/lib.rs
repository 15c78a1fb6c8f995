//! Guest memory: address spaces, VMAs, page objects, software TLB.
