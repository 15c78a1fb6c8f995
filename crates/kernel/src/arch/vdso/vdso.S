// The code of the vDSO. `build.sh` makes vdso.so of it, which is checked in.
//
// The data page (`_vvar`, see mod.rs) lies right before the image: a mask of the clocks that can be read here, and for
// each what to add to the counter (in nanoseconds) to get the clock's time.

	.text

// int __kernel_clock_gettime(clockid_t clock, struct timespec *ts)
	.global __kernel_clock_gettime
	.type __kernel_clock_gettime, %function
__kernel_clock_gettime:
	hint	#34			// bti c
	cmp	w0, #7
	b.hi	1f
	adr	x9, _vvar
	ldr	w10, [x9]
	lsr	w10, w10, w0
	tbz	w10, #0, 1f
	add	x9, x9, #8
	ldr	x11, [x9, w0, uxtw #3]
	mrs	x10, cntvct_el0
	add	x10, x10, x11
	mov	x12, #0xca00
	movk	x12, #0x3b9a, lsl #16	// 1,000,000,000
	udiv	x13, x10, x12
	msub	x14, x13, x12, x10
	stp	x13, x14, [x1]
	mov	w0, #0
	ret
1:	mov	x8, #113		// clock_gettime
	svc	#0
	ret
	.size __kernel_clock_gettime, . - __kernel_clock_gettime

// int __kernel_gettimeofday(struct timeval *tv, struct timezone *tz)
	.global __kernel_gettimeofday
	.type __kernel_gettimeofday, %function
__kernel_gettimeofday:
	hint	#34
	cbnz	x1, 1f
	cbz	x0, 2f
	adr	x9, _vvar
	ldr	w10, [x9]
	tbz	w10, #0, 1f
	ldr	x11, [x9, #8]
	mrs	x10, cntvct_el0
	add	x10, x10, x11
	mov	x12, #0xca00
	movk	x12, #0x3b9a, lsl #16
	udiv	x13, x10, x12
	msub	x14, x13, x12, x10
	mov	x12, #1000
	udiv	x14, x14, x12
	stp	x13, x14, [x0]
2:	mov	w0, #0
	ret
1:	mov	x8, #169		// gettimeofday
	svc	#0
	ret
	.size __kernel_gettimeofday, . - __kernel_gettimeofday

// int __kernel_clock_getres(clockid_t clock, struct timespec *res)
	.global __kernel_clock_getres
	.type __kernel_clock_getres, %function
__kernel_clock_getres:
	hint	#34
	mov	x8, #114		// clock_getres
	svc	#0
	ret
	.size __kernel_clock_getres, . - __kernel_clock_getres

// Unwinders know the trampoline by its two instructions; the nop before it is where a "call" of it would be.
	nop
	.global __kernel_rt_sigreturn
	.type __kernel_rt_sigreturn, %function
__kernel_rt_sigreturn:
	mov	x8, #139		// rt_sigreturn
	svc	#0
	.size __kernel_rt_sigreturn, . - __kernel_rt_sigreturn
