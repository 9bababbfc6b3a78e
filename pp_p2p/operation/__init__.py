"""Problems without a market: power flow and the certificate of optimised results."""
