"""A chain to settle on: in this process, or any node that speaks JSON-RPC."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from pp_p2p.errors import LedgerRefused, LedgerUnavailable, LedgerUnreachable
from pp_p2p.ledger.contract_code import HINT, ContractCode

GAS: Final = 14_000_000
"""Most gas of a transaction; given, since estimating it executes the transaction many times."""

RECEIPT_S: Final = 120.0
"""Longest wait for a transaction to be mined."""

IN_PROCESS_ACCOUNTS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """A mined transaction: what it called, for whom, and what it took."""

    name: str
    sender: str
    hash: str
    gas: int
    seconds: float


class Chain:
    """A chain and the accounts that sign on it.

    Parameters
    ----------
    web3 : web3.Web3
    keys : sequence of str
        Private keys of the accounts; without any, those that the node itself signs for.

    Attributes
    ----------
    accounts : tuple of str
    transactions : list of Transaction
        All that were mined through this object, in their order.
    """

    def __init__(self, web3: Any, keys: Sequence[str] = ()) -> None:
        self.web3 = web3
        self.transactions: list[Transaction] = []
        self._signers = {}
        for key in keys:
            signer = web3.eth.account.from_key(key)
            self._signers[signer.address] = signer
        self.accounts = tuple(self._signers) or tuple(self._ask(lambda: web3.eth.accounts))

    @classmethod
    def in_process(cls) -> Self:
        """Return a chain of its own in this process: py-evm, no server, gone with the object.

        Raises
        ------
        LedgerUnavailable
            The extra ``ledger`` is not installed.
        """
        try:
            from eth_tester import EthereumTester, PyEVMBackend
            from web3 import EthereumTesterProvider, Web3
        except ImportError as error:
            raise LedgerUnavailable(f"a chain in process is not installed: {HINT}") from error
        backend = PyEVMBackend.from_mnemonic(
            "test test test test test test test test test test test junk",
            num_accounts=IN_PROCESS_ACCOUNTS,
            genesis_state_overrides={"balance": 10**24},
        )
        return cls(Web3(EthereumTesterProvider(EthereumTester(backend))))

    @classmethod
    def connect(cls, url: str, *, keys: Sequence[str] = (), timeout_s: float = 30.0) -> Self:
        """Return the chain of a node.

        Parameters
        ----------
        url : str
            JSON-RPC over HTTP, such as ``"http://127.0.0.1:8545"``.
        keys : sequence of str
            Private keys to sign with; without any, the node signs for its own accounts.
        timeout_s : float

        Raises
        ------
        LedgerUnavailable
            The extra ``ledger`` is not installed.
        LedgerUnreachable
            No node answers there.
        """
        try:
            from web3 import Web3
        except ImportError as error:
            raise LedgerUnavailable(f"the client of the ledger is not installed: {HINT}") from error
        web3 = Web3(Web3.HTTPProvider(url, request_kwargs={"timeout": timeout_s}))
        return cls(web3, keys)

    @property
    def chain_id(self) -> int:
        """Id of the chain."""
        return int(self._ask(lambda: self.web3.eth.chain_id))

    def deploy(self, code: ContractCode, sender: str) -> Any:
        """Return a new contract."""
        factory = self.web3.eth.contract(abi=code.abi, bytecode=code.bytecode)
        receipt = self._send("deploy", factory.constructor(), sender, 0)
        return self.at(receipt["contractAddress"], code)

    def at(self, address: str, code: ContractCode) -> Any:
        """Return the contract that stands at `address`."""
        return self.web3.eth.contract(address=address, abi=code.abi)

    def transact(
        self, contract: Any, name: str, *args: object, sender: str, value: int = 0
    ) -> Transaction:
        """Call a function of `contract` in a transaction, and return it when it is mined.

        Raises
        ------
        LedgerRefused
            The contract refuses; with its reason.
        LedgerUnreachable
            The node does not answer: whether the transaction was mined is not known.
        """
        self._send(name, contract.functions[name](*args), sender, value)
        return self.transactions[-1]

    def read(self, contract: Any, name: str, *args: object) -> Any:
        """Return what a function of `contract` says, without a transaction."""
        return self._ask(lambda: contract.functions[name](*args).call())

    def balance(self, address: str) -> int:
        """Return the money at an address."""
        return int(self._ask(lambda: self.web3.eth.get_balance(address)))

    def pass_time(self, seconds: float) -> None:
        """Let time pass: at once where the chain is for tests, else by waiting."""
        tester = getattr(self.web3.provider, "ethereum_tester", None)
        whole = int(seconds) + 1
        if tester is not None:
            tester.time_travel(tester.get_block_by_number("latest")["timestamp"] + whole)
            return
        answer = self._ask(lambda: self.web3.provider.make_request("evm_increaseTime", [whole]))
        if "error" in answer:
            time.sleep(whole)
        else:
            self._ask(lambda: self.web3.provider.make_request("evm_mine", []))

    def _send(self, name: str, call: Any, sender: str, value: int) -> Any:
        started = time.perf_counter()
        options = {"from": sender, "value": value, "gas": GAS}
        sent = self._ask(lambda: self._submit(call, options))
        receipt = self._ask(
            lambda: self.web3.eth.wait_for_transaction_receipt(
                sent, timeout=RECEIPT_S, poll_latency=0.02
            )
        )
        if receipt["status"] != 1:
            self._ask(lambda: call.call(options, receipt["blockNumber"]))  # raises with the reason
            raise LedgerRefused(f"{name}: the contract refused without a reason")
        self.transactions.append(
            Transaction(
                name=name,
                sender=sender,
                hash=receipt["transactionHash"].to_0x_hex(),
                gas=int(receipt["gasUsed"]),
                seconds=time.perf_counter() - started,
            )
        )
        return receipt

    def _submit(self, call: Any, options: dict[str, Any]) -> Any:
        signer = self._signers.get(options["from"])
        if signer is None:
            return call.transact(options)
        nonce = self.web3.eth.get_transaction_count(signer.address, "pending")
        built = call.build_transaction({**options, "nonce": nonce})
        return self.web3.eth.send_raw_transaction(signer.sign_transaction(built).raw_transaction)

    def _ask(self, question: Any) -> Any:
        """Return the answer to a question, with the client's errors as ours."""
        import requests
        from web3.exceptions import TimeExhausted, Web3Exception

        failed: tuple[type[Exception], ...] = ()
        try:
            from eth_tester.exceptions import TransactionFailed
            from eth_utils.exceptions import ValidationError

            failed = (TransactionFailed, ValidationError)
        except ImportError:
            pass
        try:
            return question()
        except (requests.exceptions.RequestException, TimeExhausted, OSError) as error:
            raise LedgerUnreachable(f"the node does not answer: {error}") from error
        except (Web3Exception, *failed) as error:
            raise LedgerRefused(_reason(error)) from error


def _reason(error: Exception) -> str:
    text = str(error.args[0]) if error.args else str(error)
    for start in ("execution reverted: ", "reverted with reason string "):
        text = text.split(start)[-1]
    return text.strip("'\"")
