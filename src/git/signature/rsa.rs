//! RSA keys from the numbers that OpenSSH's and OpenPGP's files have of them, and their signatures (PKCS #1 v1.5, which are
//! deterministic).

use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA512, RsaParameters};

/// A public key; neither number has zeros before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RsaPublic {
    pub(super) modulus: Vec<u8>,
    pub(super) exponent: Vec<u8>,
}

/// What a private key has besides.
pub(super) struct RsaPrivate<'a> {
    pub(super) exponent: &'a [u8],
    pub(super) first_prime: &'a [u8],
    pub(super) second_prime: &'a [u8],
    /// The inverse of the second prime modulo the first.
    pub(super) coefficient: &'a [u8],
}

/// What a signature's data is hashed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RsaHash {
    Sha256,
    Sha512,
}

impl RsaPublic {
    pub(super) fn new(modulus: &[u8], exponent: &[u8]) -> Self {
        Self { modulus: trimmed(modulus).to_vec(), exponent: trimmed(exponent).to_vec() }
    }

    pub(super) fn has_signed(&self, hash: RsaHash, data: &[u8], signature: &[u8]) -> bool {
        let parameters: &RsaParameters = match hash {
            RsaHash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            RsaHash::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        };
        let zeros = self.modulus.len().saturating_sub(signature.len());
        let padded = [vec![0; zeros], signature.to_vec()].concat();
        let components = PublicKeyComponents { n: &self.modulus, e: &self.exponent };
        components.verify(parameters, data, &padded).is_ok()
    }

    /// The pair that this key is part of; `None` if the numbers do not belong together, or it has less than 2048 bits.
    pub(super) fn with(&self, private: &RsaPrivate<'_>) -> Option<KeyPair> {
        let pair = KeyPair::from_components(&KeyPairComponents {
            public_key: PublicKeyComponents { n: &self.modulus[..], e: &self.exponent[..] },
            d: private.exponent,
            p: private.first_prime,
            q: private.second_prime,
            dP: &remainder(private.exponent, &less_one(private.first_prime)?),
            dQ: &remainder(private.exponent, &less_one(private.second_prime)?),
            qInv: private.coefficient,
        });
        pair.ok().filter(|pair| sign(pair, b"").len() == self.modulus.len())
    }
}

/// The signature of data hashed with SHA-512.
pub(super) fn sign(pair: &KeyPair, data: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    let signed = pair.sign(&RSA_PKCS1_SHA512, &aws_lc_rs::rand::SystemRandom::new(), data, &mut signature);
    // It has signed before, when it was read.
    signed.map(|()| signature).unwrap_or_default()
}

/// A number without zeros before it.
pub(super) fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// An odd number, as all primes of keys are, less one.
fn less_one(number: &[u8]) -> Option<Vec<u8>> {
    let mut less = trimmed(number).to_vec();
    let last = less.last_mut().filter(|last| **last & 1 == 1)?;
    *last &= 0xfe;
    (less.len() > 1).then_some(less)
}

/// The remainder of a division, bit by bit: keys are read once.
fn remainder(number: &[u8], divisor: &[u8]) -> Vec<u8> {
    // One byte more, for what is shifted out.
    let divisor = [&[0], divisor].concat();
    let mut rest = vec![0_u8; divisor.len()];
    for bit in number.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)) {
        let mut carry = bit;
        for byte in rest.iter_mut().rev() {
            (*byte, carry) = (*byte << 1 | carry, *byte >> 7);
        }
        if rest >= divisor {
            let mut borrow = false;
            for (byte, other) in rest.iter_mut().zip(&divisor).rev() {
                let (less, first) = byte.overflowing_sub(*other);
                let (less, second) = less.overflowing_sub(u8::from(borrow));
                (*byte, borrow) = (less, first || second);
            }
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_are_those_of_division() {
        for (number, divisor) in
            [(0_u64, 7_u64), (6, 7), (7, 7), (u64::MAX, 3), (u64::MAX - 1, u64::MAX), (1 << 63, 257)]
        {
            let bytes = divisor.to_be_bytes();
            let rest = remainder(&number.to_be_bytes(), trimmed(&bytes));
            let expected = (number % divisor).to_be_bytes();
            assert_eq!(trimmed(&rest), trimmed(&expected), "{number} % {divisor}");
        }
    }

    #[test]
    fn what_is_no_key_is_none() {
        let public = RsaPublic::new(&[0, 0xc1], &[1, 0, 1]);
        for prime in [&[][..], &[0], &[1], &[4], &[0xfb, 0xff]] {
            let private = RsaPrivate { exponent: &[3], first_prime: prime, second_prime: prime, coefficient: &[1] };
            assert!(public.with(&private).is_none(), "{prime:?}");
        }
        assert!(!public.has_signed(RsaHash::Sha512, b"x", &[1, 2, 3]));
    }
}
